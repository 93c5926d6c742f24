//! `actuator = 'command'`: worker processes on this host, as many as the group is large.
//!
//! | option | meaning |
//! |---|---|
//! | `command` | the program, by the name that the operator's configuration gives it |
//! | `arguments` | what is put behind the configuration's arguments; words with blanks between, `{{ slot }}` is the worker's number |
//! | `health.command` | a program, by its name there, that ends with 0 while the worker is well |
//! | `health.url` | a URL that answers 2xx while it is; `{{ slot }}` is the worker's number; the operator's list of webhooks holds |
//! | `health.interval`, `health.timeout` | how often, and how long a check may take; 10 and 5 seconds unless set |
//! | `health.failures` | after how many checks in a row a worker is not well; 3 unless set |
//! | `health.grace` | from its start on a worker may fail its checks for so long; a minute unless set |
//! | `stop.timeout` | how long a worker may take to end after SIGTERM before it is killed; 30 seconds unless set |
//!
//! Workers have numbers, slots, from 0; the group's size is how many slots there are, and the highest ones are given up first. A
//! worker knows its own from `HEADWATER_SLOT`, its group from `HEADWATER_GROUP`; a health check is also told `HEADWATER_PID`.
//!
//! - A worker that has ended is replaced at once, one that fails its checks after the grace period, as EC2 Auto Scaling does; a
//!   replacement knows no cooldown. One that ends again and again is started after waits that double from a second to a minute.
//! - An activity is over when all workers are well: with a check when it has passed once, without one when they have lived for a second.
//! - Each worker leads a process group of its own, which is stopped as a whole. When the engine stops or the group is dropped, workers
//!   are stopped; if the engine is killed they live on, and the next one takes them over: it finds them by a token in their environment
//!   (on Linux, where `/proc` tells).

mod actuator;
mod config;
mod health;
mod orphans;
mod worker;

pub(super) use config::ACTUATOR;
