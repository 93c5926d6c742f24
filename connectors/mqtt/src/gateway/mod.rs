//! The broker as a gateway: set up from a configuration, served on a port.
//!
//! ```toml
//! [mqtt]
//! listen = "127.0.0.1:1883"
//! anonymous = false                          # whether those may come in who do not say who they are; true unless there are users
//!
//! [mqtt.tls]                                 # beside the other port, not instead of it
//! listen = "127.0.0.1:8883"
//! certificate = "/etc/headwater/mqtt.crt"
//! key = "/etc/headwater/mqtt.key"
//! client_ca = "/etc/headwater/devices.crt"   # who must have signed clients' certificates; left out: they need none
//!
//! [[mqtt.users]]
//! name = "t7"
//! password = "{{ T7_PASSWORD }}"             # from the environment; or password_file
//! publish = ["plant/%u/#"]                   # %u is the name, %c the client's id; everything unless given
//! subscribe = ["commands/%u/#"]
//! ```

mod config;
mod keeper;
mod mqtt;

pub use config::{MqttConfig, TlsConfig, UserConfig};
pub use mqtt::MqttGateway;
