//! Functions of the user's: what they mean, who keeps which definition, and what is said of mistakes in them.

use std::fmt::Write;

use headwater_plan::{Catalog, Change, Planner, SqlError, Statement, Target, parse_one};

use crate::fixture::{InMemory, catalog, check_snapshot};

const DDL: &str = "
CREATE STREAM weather (station STRING, ts TIMESTAMP(3), f DOUBLE, n INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM out (c DOUBLE);
CREATE FUNCTION celsius(f DOUBLE) RETURNS DOUBLE AS '(f - 32) / 1.8';
CREATE FUNCTION square(x DOUBLE) RETURNS DOUBLE RETURN x * x;
";

fn apply(catalog: &Catalog, sql: &str) -> Result<(Catalog, Change), SqlError> {
    let parsed = parse_one(sql)?;
    let (after, change) = catalog.apply(&parsed)?;
    Planner::new().check(&after, &InMemory::default().tables(), &parsed)?;
    Ok((after, change))
}

fn explain(catalog: &Catalog, sql: &str) -> String {
    let Statement::Query(query) = &parse_one(sql).unwrap().statement else { panic!("{sql}") };
    let tables = InMemory::default().tables();
    let plan = Planner::new().stream(catalog, &tables, query, Target::Anywhere);
    let plan = plan.unwrap_or_else(|error| panic!("{}", error.render()));
    format!("{}{:?}", plan.explain(), plan.stages)
}

#[test]
fn an_expression_takes_the_place_of_a_call() {
    let catalog = catalog(DDL);
    let with = explain(&catalog, "SELECT celsius(f) AS c FROM weather WHERE celsius(f) > 30");
    assert_eq!(with, explain(&catalog, "SELECT (f - 32) / 1.8 AS c FROM weather WHERE (f - 32) / 1.8 > 30"));
    // A column may be named twice; what has to be computed is computed once.
    assert!(!explain(&catalog, "SELECT square(f) AS s FROM weather").contains("square"), "inlined");
    assert!(explain(&catalog, "SELECT square(f + 1) AS s FROM weather").contains("square"), "called");
    // A column of the caller's that is called like a parameter is not taken for it.
    let names = "CREATE FUNCTION less(f DOUBLE, n DOUBLE) RETURNS DOUBLE RETURN f - n;";
    let catalog = self::catalog(&format!("{DDL} {names}"));
    let swapped = explain(&catalog, "SELECT less(n, f) AS d FROM weather");
    assert_eq!(swapped, explain(&catalog, "SELECT CAST(n AS DOUBLE) - f AS d FROM weather"));
}

#[test]
fn users_keep_the_definition_that_they_were_made_with() {
    let before = catalog(&format!(
        "{DDL} CREATE VIEW v AS SELECT celsius(f) AS c FROM weather;
         CREATE FUNCTION twice(f DOUBLE) RETURNS DOUBLE RETURN 2 * celsius(f);
         CREATE JOB j AS INSERT INTO out SELECT twice(f) FROM weather;
         CREATE TRIGGER t ON weather WHEN celsius(f) > 30;
         CREATE ALARM hot ON weather STATISTIC avg(celsius(f)) PERIOD '1 minute' WITH (comparison = '>', threshold = 1);"
    ));
    let plans = |catalog: &Catalog| {
        let tables = InMemory::default().tables();
        let (planner, mut text) = (Planner::new(), explain(catalog, "SELECT c FROM v"));
        let target = Target::Stream(catalog.stream("out").unwrap(), &[]);
        let job = catalog.job("j").unwrap();
        text.push_str(&planner.stream(catalog, &tables, &job.query, target).unwrap().explain());
        let trigger = catalog.trigger("t").unwrap();
        text.push_str(&format!("{:?}", planner.trigger(catalog, &tables, trigger).unwrap().dataflow.stages));
        let Some(headwater_plan::Entry::Alarm(alarm)) = catalog.get("hot") else { panic!("no alarm") };
        text.push_str(&planner.alarm(catalog, &tables, alarm).unwrap().explain());
        text
    };
    let (after, change) =
        apply(&before, "CREATE OR REPLACE FUNCTION celsius(f DOUBLE) RETURNS DOUBLE RETURN 0.5").unwrap();
    assert!(matches!(change, Change::Function(name) if name == "celsius"));
    assert_eq!(plans(&after), plans(&before));
    assert!(explain(&after, "SELECT celsius(f) FROM weather").contains("0.5"), "a new query has the new one");
    assert!(!explain(&after, "SELECT twice(f) FROM weather").contains("0.5"), "a function keeps it, too");
    let error = apply(&after, "DROP FUNCTION celsius(DOUBLE)").unwrap_err();
    assert_eq!(
        error.to_string(),
        "function 'celsius' is used by alarm hot, trigger t, view v, function twice at line 1, column 15; \
         drop what uses it first"
    );
    let unused = catalog(&format!("{DDL} DROP FUNCTION celsius; DROP FUNCTION IF EXISTS celsius;"));
    assert_eq!(unused.functions().names().collect::<Vec<_>>(), ["square"]);
}

const MISTAKES: &[&str] = &[
    "CREATE FUNCTION g(x DOUBLE) RETURNS DOUBLE",
    "CREATE FUNCTION g x RETURNS DOUBLE RETURN 1",
    "CREATE FUNCTION g(x DOUBLE, x INT) RETURNS DOUBLE RETURN x",
    "CREATE FUNCTION g(x DUBLE) RETURNS DOUBLE RETURN x",
    "CREATE FUNCTION g(x DOUBLE) RETURNS DOUBLE LANGUAGE JAVA AS 'com.example.G'",
    "CREATE FUNCTION g(x DOUBLE) RETURNS DOUBLE LANGUAGE WAMP WITH (realm = 'home')",
    "CREATE FUNCTION g(result DOUBLE) RETURNS DOUBLE LANGUAGE WAMP AS 'com.home.g' WITH (realm = 'home')",
    "CREATE FUNCTION g(x DOUBLE) RETURNS DOUBLE AS 'x * 2' WITH (realm = 'home')",
    "CREATE FUNCTION g(temp DOUBLE)\nRETURNS DOUBLE AS 'tmep + 1'",
    "CREATE FUNCTION g(temp DOUBLE) RETURNS DOUBLE AS $$\n  temp +\n  celsus(temp)\n$$",
    "CREATE FUNCTION g(temp DOUBLE) RETURNS DOUBLE AS '(temp'",
    "CREATE FUNCTION g(site STRING) RETURNS STRING AS 'COALESCE(''it''''s'', ''no'') || stie'",
    "CREATE FUNCTION g(site STRING) RETURNS STRING AS '\n  ''a'' || site || stie'",
    "CREATE FUNCTION g(temp DOUBLE) RETURNS DOUBLE AS 'temp temp'",
    "CREATE FUNCTION g(temp DOUBLE) RETURNS STRING RETURN temp + 1",
    "CREATE FUNCTION g(temp STRING) RETURNS DOUBLE RETURN abs(temp)",
    "CREATE FUNCTION g(temp DOUBLE) RETURNS DOUBLE RETURN max(temp)",
    "CREATE FUNCTION g(temp DOUBLE) RETURNS DOUBLE RETURN (SELECT max(f) FROM weather)",
    "CREATE FUNCTION g(temp DOUBLE) RETURNS DOUBLE AS 'SELECT f FROM weather'",
    "CREATE FUNCTION g(x INT) RETURNS INT RETURN g(x - 1)",
    "CREATE FUNCTION abs(x INT) RETURNS INT RETURN x",
    "CREATE FUNCTION celsius(x INT) RETURNS INT RETURN x",
    "DROP FUNCTION celsus",
    "CREATE MATERIALIZED VIEW v AS SELECT celsius(station) FROM weather",
    "CREATE MATERIALIZED VIEW v AS SELECT celsius(f, f) FROM weather",
    "CREATE MATERIALIZED VIEW v AS SELECT celsus(f) FROM weather",
];

#[test]
fn mistakes_in_functions_are_explained() {
    let (catalog, mut text) = (catalog(DDL), String::new());
    for sql in MISTAKES {
        let Err(error) = apply(&catalog, sql) else { panic!("no error: {sql}") };
        assert!(error.position().is_some(), "no place: {sql}\n{error}");
        assert!(!error.message().ends_with('.') && !error.message().contains('\n'), "{error}");
        writeln!(text, "{}\n", error.render()).unwrap();
    }
    check_snapshot("user_functions_mistakes.txt", &text);
}

#[test]
fn what_is_not_reproducible_stays_so() {
    let catalog = catalog(
        "CREATE STREAM s (x DOUBLE); CREATE FUNCTION dice(x DOUBLE) RETURNS DOUBLE RETURN x * random();",
    );
    let Statement::Query(query) = &parse_one("SELECT dice(x) FROM s").unwrap().statement else { panic!() };
    let error =
        Planner::new().stream(&catalog, &InMemory::default().tables(), query, Target::Anywhere).unwrap_err();
    assert!(error.to_string().starts_with("dice() gives another value each time"), "{error}");
}
