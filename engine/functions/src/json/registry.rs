//! The functions of JSON, for a session.

use datafusion::logical_expr::ScalarUDF;

use super::{arrows, build, exists, is_json, query, value};

/// All of them.
pub fn functions() -> Vec<ScalarUDF> {
    let mut all = vec![
        ScalarUDF::new_from_impl(value::JsonValue::new()),
        ScalarUDF::new_from_impl(query::JsonQuery::new()),
        ScalarUDF::new_from_impl(exists::JsonExists::new()),
        ScalarUDF::new_from_impl(is_json::IsJson::new()),
    ];
    all.extend(arrows::functions());
    all.extend(build::functions());
    all
}
