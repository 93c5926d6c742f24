//! The sinks against real servers: PostgreSQL and MariaDB, of Debian's packages, read back by the clients that come with them.
//!
//! Each server is started once, and everything is tried on it, one after the other.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what was left out"
)]

#[path = "../../../tests/conformance/lab.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod lab;
mod lookups;
#[path = "../../../kafka/tests/kafka/ports.rs"]
mod ports;
mod promise;
mod rows;
mod server;
mod values;

use server::{Kind, Server};

fn everything(kind: Kind) {
    headwater_databases::add();
    let Some(mut server) = Server::start(kind) else { return };
    promise::each_row_once_through_many_lives(&server);
    promise::each_row_once_while_the_server_is_killed(&mut server);
    promise::a_position_that_somebody_else_moved_is_read_again(&server);
    rows::changes_are_folded_by_key(&server);
    rows::rows_that_break_a_rule_are_parked_and_the_others_written(&server);
    rows::any_number_of_rows_may_be_refused(&server);
    rows::what_does_not_fit_is_said_before_a_row_is_written(&server);
    rows::secrets_are_not_shown_and_certificates_are_checked(&server);
    values::every_type_arrives_as_it_was(&server);
    lookups::every_type_is_found_again(&mut server);
    lookups::a_whole_table_is_kept_until_it_is_read_again(&mut server);
    lookups::a_cache_that_is_none_is_refused(&server);
    if kind == Kind::Postgres {
        lookups::a_key_that_is_none_is_that_of_no_row(&server);
    }
}

#[test]
fn postgres_keeps_the_promise() {
    everything(Kind::Postgres);
}

#[test]
fn mariadb_keeps_the_promise() {
    everything(Kind::MariaDb);
}
