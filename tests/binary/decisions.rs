//! Compares the decisions that the demo prints with those of programs that share nothing with it: `tests/oracle/alerts.py`, `patterns.py`
//! and `alarms.py`, whose rows are counted here.

use std::path::Path;

/// The triggers in the order in which they are shown, and the file with the firings of each.
const TRIGGERS: [(&str, &str); 5] = [
    ("freeze_alert", "freeze_alerts"),
    ("frozen_sensor", "stuck_sensors"),
    ("missing_device", "missing_stations"),
    ("rate_of_change", "sudden_drops"),
    ("returned_device", "returned_stations"),
];

const STATIONS: [&str; 3] = ["EWR", "JFK", "LGA"];

/// The months of winter, spring, summer and autumn.
const SEASONS: [[&str; 3]; 4] =
    [["12", "01", "02"], ["03", "04", "05"], ["06", "07", "08"], ["09", "10", "11"]];

type Row = Vec<String>;

/// Compares the tables among the lines that a demo wrote.
pub fn compare_shown(lines: &[String]) {
    let mut triggers = shown(lines, "Which triggers fired");
    // What they wait for, which no oracle writes as SQL.
    triggers.iter_mut().for_each(|row| drop(row.remove(1)));
    assert_eq!(triggers, TRIGGERS.map(|(name, file)| firings(name, file)));

    assert_eq!(shown(lines, "How often the pressure fell"), fronts());

    let mut activities = shown(lines, "What a scaling group would have done");
    activities.iter_mut().for_each(|row| row.truncate(4));
    assert_eq!(activities, expected("cpu/expected/activities.csv"));
    assert_eq!(shown(lines, "And what it would not have done"), expected("cpu/expected/reasons.csv"));
}

/// The rows of the table below a title. Times are in UTC and do not say so.
fn shown(lines: &[String], title: &str) -> Vec<Row> {
    let below = lines.iter().skip_while(|line| !line.starts_with(title)).skip(1);
    let table = below.take_while(|line| line.starts_with(['|', '+'])).filter(|line| line.starts_with('|'));
    let cells = |line: &String| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().trim_end_matches('Z').to_owned()).collect()
    };
    let rows: Vec<Row> = table.skip(1).map(cells).collect();
    assert!(!rows.is_empty(), "nothing is shown of {title:?}");
    rows
}

/// The rows of a file of results.
fn expected(path: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries").join(path);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// A trigger's firings in all and by station, and the last one.
fn firings(name: &str, file: &str) -> Row {
    let rows = expected(&format!("alerts/expected/{file}.csv"));
    let at = |station: &str| rows.iter().filter(|row| row[0] == station).count().to_string();
    let mut row = vec![name.to_owned(), rows.len().to_string()];
    row.extend(STATIONS.map(at));
    row.push(rows.iter().map(|row| row[1].clone()).max().unwrap());
    row
}

/// The fronts of each station in all and by season, and the most rain of one.
fn fronts() -> Vec<Row> {
    let all = expected("patterns/expected/fronts.csv");
    let of = |station: &str| {
        let own: Vec<&Row> = all.iter().filter(|row| row[0] == station).collect();
        let within = |months: [&str; 3]| own.iter().filter(|row| months.contains(&&row[5][5..7])).count();
        let rain = own.iter().map(|row| row[6].parse::<f64>().unwrap()).fold(0.0, f64::max);
        let mut row = vec![station.to_owned(), own.len().to_string()];
        row.extend(SEASONS.map(|months| within(months).to_string()));
        row.push(rain.to_string());
        row
    };
    STATIONS.map(of).to_vec()
}

#[test]
fn a_difference_is_noticed() {
    let table = "And what it would not have done\n+---+\n| policy | why_not | minutes |\n+---+\n\
                 | add_one | at the maximum | 19489 |\n| add_one | in cooldown | 4 |\n\
                 | remove_one | at the minimum | 637 |\n| remove_one | in cooldown | 2 |\n+---+\n\nmore";
    let rows = |text: &str| {
        shown(&text.lines().map(str::to_owned).collect::<Vec<_>>(), "And what it would not have done")
    };
    assert_eq!(rows(table), expected("cpu/expected/reasons.csv"));
    assert_ne!(rows(&table.replace("637", "638")), expected("cpu/expected/reasons.csv"));
}
