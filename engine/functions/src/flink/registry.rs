//! All functions of Flink's, as DataFusion takes them.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use super::collect::collect;
use super::date_format::DateFormat;
use super::extract::{RegexpExtract, SplitIndex};
use super::percentile::percentile;
use super::{
    calendar, charsets, clock, collections, extremes, lists, matches, numbers, parsed, printf, quotes,
    random, rounded, rows, text, time, watermark, web, zones,
};

/// The aggregates.
pub fn aggregate_functions() -> [AggregateUDF; 2] {
    [collect(), percentile()]
}

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    let of_their_own = vec![
        ScalarUDF::new_from_impl(DateFormat::new()),
        ScalarUDF::new_from_impl(SplitIndex::new()),
        ScalarUDF::new_from_impl(RegexpExtract::new()),
    ];
    [
        of_their_own,
        numbers::functions(),
        text::functions(),
        watermark::functions(),
        web::functions(),
        time::functions(),
        rounded::functions(),
        rows::functions(),
        calendar::functions(),
        parsed::functions(),
        lists::functions(),
        extremes::functions(),
        charsets::functions(),
        matches::functions(),
        collections::functions(),
        quotes::functions(),
        zones::functions(),
        printf::functions(),
        clock::functions(),
        random::functions(),
    ]
    .concat()
}
