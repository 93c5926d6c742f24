//! The cases by name.

use std::sync::Arc;

use super::{append, conditions, notify, read, streams};
use crate::api::Log;

/// Makes an empty log.
pub type Make<'a> = &'a dyn Fn() -> Arc<dyn Log>;

/// One thing that must hold.
pub type Case = fn(Make<'_>);

/// All cases, by name.
pub const CASES: &[(&str, Case)] = &[
    ("rows come back in order with dense sequences", append::rows_come_back_in_order),
    ("an empty append appends nothing", append::an_empty_append_appends_nothing),
    ("a group is appended as one", append::a_group_is_one),
    ("a group is seen as one", append::a_group_is_seen_as_one),
    ("large appends are split and stay one", append::large_appends_stay_one),
    ("rows that do not fit are refused", append::rows_that_do_not_fit_are_refused),
    ("threads append side by side", append::threads_append_side_by_side),
    ("a closed log takes nothing", append::a_closed_log_takes_nothing),
    ("repeats append nothing", conditions::repeats_append_nothing),
    ("old epochs and old sequences are refused", conditions::old_producers_are_refused),
    ("an expected sequence must be the next", conditions::an_expected_sequence_must_be_next),
    ("a fence keeps others out", conditions::a_fence_keeps_others_out),
    ("streams are made, found and dropped", streams::made_found_and_dropped),
    ("bad streams are refused", streams::bad_ones_are_refused),
    ("old rows read as the new schema", streams::old_rows_read_as_the_new_schema),
    ("a follower sees a schema evolve", streams::a_follower_sees_a_schema_evolve),
    ("reading starts where it is told", read::starts_where_told),
    ("reading starts at a time", read::starts_at_a_time),
    ("reading stops where it is told and follows", read::stops_and_follows),
    ("readers side by side get what each asked for", read::readers_side_by_side),
    ("columns are projected", read::columns_are_projected),
    ("bounds leave out no row that matches", read::bounds_leave_out_no_match),
    ("arrivals never go back", read::arrivals_never_go_back),
    ("what is trimmed is gone", read::what_is_trimmed_is_gone),
    ("segments cover the rows", read::segments_cover_the_rows),
    ("commits wake those who wait", notify::commits_wake),
    ("an answer can be awaited", notify::an_answer_can_be_awaited),
    ("metrics count", notify::metrics_count),
];
