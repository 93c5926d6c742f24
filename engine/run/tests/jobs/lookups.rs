//! Joins with a table outside, which says something else each time it is asked: what comes out depends on the log alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use headwater_core::EventTime;
use headwater_core::world::sim::SimRandom;
use headwater_ingest::{BadRecord, Ingest, RecordFault};
use headwater_operators::LookupCache;
use headwater_plan::StreamDef;
use headwater_run::{ConnectorHost, ConnectorTable, LookupFailure, LookupTable, ReplaySpec, Role};
use parking_lot::Mutex;

use crate::machine::Machine;

/// Each answer counts on, so that whoever asks twice gets two answers. Device `x` is not there; `b` is there twice; `late` is there when it
/// is asked for the third time.
#[derive(Clone)]
struct Outside {
    asked: Arc<Mutex<BTreeMap<String, i64>>>,
    cache: LookupCache,
    refuses: Arc<Mutex<Option<String>>>,
    fresh_from: Arc<Mutex<Option<EventTime>>>,
}

impl Outside {
    fn new(keys_max: usize, ttl: Option<Duration>) -> Self {
        let cache = LookupCache { keys_max, ttl, keeps_missing: true };
        Self { asked: Arc::default(), cache, refuses: Arc::default(), fresh_from: Arc::default() }
    }

    fn times(&self, device: &str) -> i64 {
        self.asked.lock().get(device).copied().unwrap_or_default()
    }
}

impl LookupTable for Outside {
    fn cache(&self) -> LookupCache {
        self.cache
    }

    fn fresh_from(&self) -> Option<EventTime> {
        *self.fresh_from.lock()
    }

    fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch, LookupFailure> {
        if let Some(reason) = self.refuses.lock().clone() {
            return Err(LookupFailure { reason, is_retryable: false });
        }
        let mut asked = self.asked.lock();
        let mut rows: Vec<(String, i64)> = Vec::new();
        for device in keys.column(0).as_string::<i32>().iter().flatten() {
            let times = asked.entry(device.to_owned()).or_default();
            *times += 1;
            let answer = *times * 10;
            let copies = [("x", 0), ("b", 2), ("late", i64::from(*times > 2))]
                .into_iter()
                .find(|(name, _)| *name == device)
                .map_or(1, |(_, n)| n);
            rows.extend((0..copies).map(|copy| (device.to_owned(), answer + copy)));
        }
        // A row of nobody's, which does no harm.
        rows.push(("stranger".into(), 0));
        let devices: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0)));
        let sites: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
        Ok(RecordBatch::try_from_iter([("device", devices), ("site", sites)]).unwrap())
    }
}

impl ConnectorHost for Outside {
    fn validate(&self, table: &ConnectorTable) -> Result<(), String> {
        if table.role == Role::Sink { Ok(()) } else { Err("it cannot be a source".to_owned()) }
    }

    fn only_role(&self, _table: &StreamDef) -> Option<Role> {
        Some(Role::Sink)
    }

    fn look_up(
        &self,
        _table: &StreamDef,
        columns: SchemaRef,
        key: Vec<String>,
    ) -> Result<Box<dyn LookupTable>, String> {
        let names: Vec<_> = columns.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(
            (names, key),
            (vec!["device", "site"], vec!["device".to_owned()]),
            "what is wanted, and no more"
        );
        Ok(Box::new(self.clone()))
    }
}

const SITES: &str = "CREATE TABLE sites (device STRING, site BIGINT, owner STRING, PRIMARY KEY (device) NOT ENFORCED) \
    WITH (connector = 'jdbc', url = 'jdbc:postgresql://nowhere/fleet')";

fn machine(seed: u64, outside: &Outside) -> Machine {
    let machine = Machine::with_connectors(seed, Arc::new(outside.clone()));
    machine.create_readings(2);
    machine.sql(SITES);
    machine
}

fn placed(join: &str, more: &str) -> String {
    format!(
        "CREATE MATERIALIZED VIEW placed AS SELECT r.device, r.value, s.site FROM readings r \
         {join} sites FOR SYSTEM_TIME AS OF PROCTIME() AS s ON r.device = s.device {more}"
    )
}

#[test]
fn inner_and_left_joins_as_in_a_batch() {
    let rows = [("a", 1_000, 1), ("x", 2_000, 2), ("b", 3_000, 3), ("a", 4_000, 4)];
    let all = ["a 1 10", "a 4 10", "b 3 10", "b 3 11", "x 2 null"];
    for (join, more, expect) in [
        ("JOIN", "", &all[..4]),
        ("LEFT JOIN", "", &all[..]),
        ("JOIN", "AND s.site > 10", &["b 3 11"]),
        ("LEFT JOIN", "AND s.site + r.value > 13", &["a 1 null", "a 4 10", "b 3 11", "x 2 null"]),
        ("LEFT JOIN", "WHERE s.site IS NULL", &["x 2 null"]),
    ] {
        let outside = Outside::new(100, None);
        let machine = machine(1, &outside);
        machine.sql(&placed(join, more));
        machine.append(&rows);
        machine.catch_up();
        let mut found = machine.rows("placed");
        found.sort();
        assert_eq!(found, expect, "{join} {more}");
        assert_eq!(["a", "b", "x"].map(|device| outside.times(device)), [1, 1, 1], "each key is asked once");
    }
}

#[test]
fn a_table_is_asked_again_for_what_it_lacks_if_the_hint_says_so() {
    let rows = [("a", 1_000, 1), ("late", 2_000, 2), ("x", 3_000, 3), ("late", 4_000, 4)];
    let again = |table: &str, attempts: u32| {
        format!(
            "SELECT /*+ LOOKUP('table' = '{table}', 'retry-predicate' = 'lookup_miss', 'retry-strategy' = 'fixed_delay', \
             'fixed-delay' = '2 ms', 'max-attempts' = '{attempts}') */"
        )
    };
    for (table, attempts, late, asked) in
        [("s", 1, "null", [1, 2, 2]), ("sites", 2, "30", [1, 3, 3]), ("S", 4, "30", [1, 3, 5])]
    {
        let outside = Outside::new(100, None);
        let mut machine = machine(6, &outside);
        machine.sql(&placed("LEFT JOIN", "").replace("SELECT", &again(table, attempts)));
        machine.append(&rows);
        machine.catch_up();
        machine.kill(2);
        machine.catch_up();
        let mut found = machine.rows("placed");
        found.sort();
        let expect = ["a 1 10", &format!("late 2 {late}"), &format!("late 4 {late}"), "x 3 null"];
        assert_eq!(found, expect, "{attempts}");
        let times = ["a", "late", "x"].map(|device| outside.times(device));
        assert_eq!(times, asked, "{attempts}: those alone that are missing");
    }
    let machine = machine(6, &Outside::new(1, None));
    let plain = format!("{} r.value FROM readings r", again("r", 1));
    let error = machine.execute(&format!("CREATE MATERIALIZED VIEW v AS {plain}")).unwrap_err().to_string();
    assert!(error.contains("only a table that is looked up is asked again"), "{error}");
}

#[test]
fn columns_that_are_computed_from_what_was_answered_are_there_like_others() {
    let rows = [("a", 1_000, 1), ("x", 2_000, 2), ("b", 3_000, 3)];
    let all = ["a 1 site-10 20", "b 3 site-10 20", "b 3 site-11 22", "x 2 null null"];
    for (join, more, expect) in [
        ("LEFT JOIN", "", &all[..]),
        ("JOIN", "AND s.twice > 20", &all[2..3]),
        ("LEFT JOIN", "WHERE s.label = 'site-10'", &all[..2]),
    ] {
        let outside = Outside::new(100, None);
        let mut machine = Machine::with_connectors(4, Arc::new(outside.clone()));
        machine.create_readings(2);
        machine
            .sql(&SITES.replace("owner STRING", "owner STRING, label AS 'site-' || site, twice AS site * 2"));
        machine.sql(&format!(
            "CREATE MATERIALIZED VIEW placed AS SELECT r.device, r.value, s.label, s.twice FROM readings r \
             {join} sites FOR SYSTEM_TIME AS OF PROCTIME() AS s ON r.device = s.device {more}"
        ));
        machine.append(&rows);
        machine.catch_up();
        machine.kill(2);
        machine.catch_up();
        let mut found = machine.rows("placed");
        found.sort();
        assert_eq!(found, expect, "{join} {more}");
    }
    let machine = machine(4, &Outside::new(1, None));
    machine.sql("CREATE TABLE others (device STRING, site BIGINT, name AS UPPER(device)) WITH (connector = 'jdbc', url = 'x')");
    let asked = "CREATE MATERIALIZED VIEW v AS SELECT r.value FROM readings r \
        JOIN others FOR SYSTEM_TIME AS OF PROCTIME() AS o ON r.device = o.name";
    let error = machine.execute(asked).unwrap_err().to_string();
    assert!(error.contains("can be asked by its columns alone"), "{error}");
}

#[test]
fn what_is_answered_and_cannot_be_computed_goes_to_the_dead_letters_once() {
    let outside = Outside::new(100, None);
    let mut machine = Machine::with_connectors(4, Arc::new(outside.clone()));
    machine.create_readings(2);
    machine.sql(&SITES.replace("owner STRING", "owner STRING, share AS 100 / (site - 10)"));
    machine.sql(
        "CREATE MATERIALIZED VIEW placed AS SELECT r.device, r.value, s.share FROM readings r \
         LEFT JOIN sites FOR SYSTEM_TIME AS OF PROCTIME() AS s ON r.device = s.device",
    );
    machine.append(&[("a", 1_000, 1), ("x", 2_000, 2), ("b", 3_000, 3), ("a", 4_000, 4)]);
    machine.catch_up();
    machine.kill(2);
    machine.append(&[("a", 5_000, 5)]);
    machine.catch_up();
    let mut placed = machine.rows("placed");
    placed.sort();
    assert_eq!(placed, ["a 1 null", "a 4 null", "a 5 null", "b 3 100", "x 2 null"]);
    assert_eq!(["a", "b", "x"].map(|device| outside.times(device)), [1, 1, 1]);
    let letters = "SELECT stream, source, code, reason, CAST(payload AS STRING) FROM system.dead_letters \
        WHERE CAST(payload AS STRING) NOT LIKE '%stranger%'";
    let letters = machine.query(letters);
    assert_eq!(letters.len(), 2, "{letters:#?}");
    for (letter, device) in letters.iter().zip(["a", "b"]) {
        assert!(letter.starts_with("sites job placed HW4001 "), "{letter}");
        assert!(
            letter.contains("ivide by zero") && letter.contains(&format!(r#""device":"{device}""#)),
            "{letter}"
        );
    }
}

#[test]
fn answers_are_those_of_the_journal_whenever_the_process_dies() {
    for seed in 0..20 {
        let outside = Outside::new(3, None);
        let mut machine = machine(seed, &outside);
        machine.checkpoint_interval = Duration::from_millis(300);
        machine.sql(&placed("LEFT JOIN", ""));
        let random = SimRandom::new(seed);
        let devices = ["a", "b", "c", "d", "x"];
        for part in 0..12 {
            let reading =
                |nth: i64| (devices[random.index(devices.len())], (part * 20 + nth) * 100, part * 20 + nth);
            machine.append(&(0..20).map(reading).collect::<Vec<_>>());
            machine.turns(random.below(120) as usize);
            match random.below(4) {
                0 => machine.kill(1 + random.index(3)),
                1 => machine.lose_power(1 + random.index(3)),
                2 => machine.restart(1 + random.index(3)),
                _ => assert!(machine.engine().set_workers("placed", 1 + random.index(4)).is_ok()),
            }
        }
        machine.catch_up();
        let rows = machine.rows("placed");
        let mut values: Vec<i64> =
            rows.iter().map(|row| row.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        values.dedup();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values, (0..240).collect::<Vec<_>>(), "seed {seed}: no row is left out");
        // A replay obeys the journal: it asks nobody, and says the same.
        let asked = outside.asked.lock().clone();
        let spec = ReplaySpec { job: "placed".into(), diff: true, ..ReplaySpec::default() };
        let report = machine.engine().replay_here(&spec).unwrap();
        assert_eq!((report.only_before.len(), report.only_now.len()), (0, 0), "seed {seed}");
        assert_eq!(report.in_both, rows.len() as u64, "seed {seed}");
        assert_eq!(*outside.asked.lock(), asked, "seed {seed}");
    }
}

/// A replay tells a job what it was told; whoever wants it to ask anew says whom.
#[test]
fn a_replay_asks_nobody_unless_told_to() {
    let outside = Outside::new(0, None);
    let machine = machine(5, &outside);
    machine.sql(&placed("JOIN", ""));
    for nth in 0..5 {
        machine.append(&[("a", nth * 1_000, nth)]);
        machine.catch_up();
    }
    let said = machine.rows("placed");
    assert_eq!((said.len(), outside.times("a")), (5, 5));
    let replay = |spec: ReplaySpec| {
        let spec = ReplaySpec { job: "placed".into(), ..spec };
        let report = machine.engine().replay_here(&spec).map_err(|error| error.to_string())?;
        Ok::<Vec<String>, String>(report.rows.iter().flat_map(crate::machine::text_of).collect())
    };
    // At a speed, as without one, by the journal.
    for speed in [None, Some(1e12)] {
        assert_eq!(replay(ReplaySpec { speed, ..ReplaySpec::default() }).unwrap(), said);
    }
    let query = "SELECT r.device, s.site FROM readings r \
                 JOIN sites FOR SYSTEM_TIME AS OF PROCTIME() AS s ON r.device = s.device";
    let other = ReplaySpec { query: Some(query.to_owned()), ..ReplaySpec::default() };
    let refused = replay(other.clone()).unwrap_err();
    assert!(refused.contains("asks sites") && refused.contains("WITH EFFECTS (sites)"), "{refused}");
    assert_eq!(outside.times("a"), 5, "nobody was asked");

    let effects = vec!["sites".to_owned()];
    let anew = replay(ReplaySpec { effects: effects.clone(), ..other }).unwrap();
    assert!(anew.len() == 5 && outside.times("a") > 5, "{anew:?}");
    let before = outside.times("a");
    let anew = replay(ReplaySpec { effects, ..ReplaySpec::default() }).unwrap();
    assert!(anew != said && outside.times("a") > before, "its own definition asks anew, too: {anew:?}");
    let stranger = ReplaySpec { effects: vec!["pumps".to_owned()], ..ReplaySpec::default() };
    let error = replay(stranger).unwrap_err();
    assert!(error.contains("asks sites outside, and has nothing to do with pumps"), "{error}");

    // A table that delivers what is written into it is named, too. This one's connector runs nowhere.
    let into = ReplaySpec { into: Some("sites".into()), ..ReplaySpec::default() };
    let error = replay(into.clone()).unwrap_err();
    assert!(error.contains("writes into sites") && error.contains("--effects sites"), "{error}");
}

#[test]
fn a_key_that_is_kept_is_not_asked_again_over_a_restart_until_it_is_too_old() {
    let outside = Outside::new(100, Some(Duration::from_secs(3_600)));
    let mut machine = machine(7, &outside);
    machine.sql(&placed("JOIN", ""));
    machine.append(&[("a", 1_000, 1)]);
    machine.catch_up();
    machine.restart(1);
    machine.append(&[("a", 2_000, 2)]);
    machine.catch_up();
    machine.kill(2);
    machine.engine().set_workers("placed", 3).unwrap();
    machine.append(&[("a", 3_000, 3)]);
    machine.catch_up();
    assert_eq!(machine.engine().set_workers("placed", 3).unwrap(), 3);
    assert_eq!(
        (machine.rows("placed"), outside.times("a")),
        (vec!["a 1 10".into(), "a 2 10".into(), "a 3 10".into()], 1)
    );
    machine.sim.clock().advance(Duration::from_secs(3_601));
    machine.append(&[("a", 4_000, 4)]);
    machine.catch_up();
    assert_eq!((machine.rows("placed")[3].as_str(), outside.times("a")), ("a 4 20", 2));
}

#[test]
fn what_was_answered_before_a_table_was_read_anew_is_asked_again() {
    let outside = Outside::new(100, None);
    let mut machine = machine(8, &outside);
    machine.sql(&placed("JOIN", ""));
    let now = |machine: &Machine| Some(machine.sim.world().clock.now());
    *outside.fresh_from.lock() = now(&machine);
    machine.append(&[("a", 1_000, 1)]);
    machine.catch_up();
    machine.append(&[("a", 2_000, 2)]);
    machine.catch_up();
    assert_eq!(outside.times("a"), 1, "what is answered from rows that have not changed is kept");
    machine.sim.clock().advance(Duration::from_secs(1));
    *outside.fresh_from.lock() = now(&machine);
    machine.append(&[("a", 3_000, 3), ("c", 3_000, 3)]);
    machine.catch_up();
    assert_eq!((outside.times("a"), outside.times("c")), (2, 1));
    // After a restart nothing has been read yet: nothing is good that was answered, and nothing is asked without a row.
    *outside.fresh_from.lock() = Some(EventTime::MAX);
    machine.restart(2);
    assert_eq!((outside.times("a"), outside.times("c")), (2, 1));
    machine.append(&[("a", 4_000, 4)]);
    machine.catch_up();
    assert_eq!((outside.times("a"), outside.times("c")), (3, 1));
    let mut rows = machine.rows("placed");
    rows.sort();
    assert_eq!(rows, ["a 1 10", "a 2 10", "a 3 20", "a 4 30", "c 3 10"]);
}

#[test]
fn what_cannot_be_looked_up_is_refused() {
    let outside = Outside::new(0, None);
    let machine = machine(3, &outside);
    let error = |sql: &str| {
        machine.engine().define_here(sql).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let view = |query: &str| error(&format!("CREATE MATERIALIZED VIEW v AS {query}"));
    let now = "sites FOR SYSTEM_TIME AS OF PROCTIME()";
    for (query, reason) in [
        (format!("SELECT * FROM readings r RIGHT JOIN {now} AS s ON r.device = s.device"), "would need all of its rows"),
        (format!("SELECT * FROM readings r JOIN {now} AS s ON r.value > s.site"), "ON names none"),
        (format!("SELECT * FROM {now} AS s"), "not the first in FROM"),
        (
            "SELECT * FROM readings r JOIN sites FOR SYSTEM_TIME AS OF r.ts AS s ON r.device = s.device".into(),
            "has no versions: it is looked up as it is now",
        ),
        (
            format!("SELECT * FROM (SELECT device, COUNT(*) AS n FROM readings GROUP BY device) r JOIN {now} AS s ON r.device = s.device"),
            "rows that change cannot be joined",
        ),
        (
            "SELECT * FROM readings r JOIN readings FOR SYSTEM_TIME AS OF PROCTIME() AS s ON r.device = s.device".into(),
            "takes the version of the event's time (t with PRIMARY KEY and WATERMARK); s JOIN t ON s.key = t.key follows every change of t",
        ),
        ("SELECT r.device FROM readings r JOIN sites s ON r.device = s.device".into(), "it cannot be a source"),
    ] {
        let found = view(&query);
        assert!(found.contains(reason), "{query}: {found}");
    }
    // What can be looked up in a stream cannot in a bounded query, and the way out is another one.
    let bounded = format!("SELECT * FROM readings r JOIN {now} AS s ON r.device = s.device");
    let refused = error(&format!("CREATE VIEW bounded AS {bounded}"));
    assert!(
        refused.contains("not by a bounded query") && refused.contains("; CREATE MATERIALIZED VIEW"),
        "{refused}"
    );
    machine.sql(
        "CREATE STREAM orders (device STRING, t AS PROCTIME()); CREATE MATERIALIZED VIEW v AS \
         SELECT o.device, s.site FROM orders AS o JOIN sites FOR SYSTEM_TIME AS OF o.t AS s ON o.device = s.device",
    );
    assert_eq!(machine.engine().catalog().stream("orders").unwrap().schema.fields().len(), 1);
}

#[test]
fn a_table_that_refuses_stops_its_job_and_says_why() {
    let outside = Outside::new(10, None);
    let mut machine = machine(4, &outside);
    machine.sql(&placed("JOIN", ""));
    *outside.refuses.lock() = Some("there is no table sites".into());
    machine.append(&[("a", 1_000, 1)]);
    machine.turns(500);
    let job = &machine.engine().jobs()[0];
    assert_eq!(job.state.as_str(), "failed");
    assert!(
        job.error.as_ref().unwrap().contains("HW4006")
            && job.error.as_ref().unwrap().contains("no table sites")
    );
    // When somebody has mended it, the job goes on where it was.
    *outside.refuses.lock() = None;
    machine.kill(1);
    machine.catch_up();
    assert_eq!(machine.rows("placed"), ["a 1 10"]);
}

/// A table outside in which there is a record that is no row.
#[derive(Clone)]
struct Torn {
    rows: Outside,
    aside: Option<Arc<Ingest>>,
}

impl LookupTable for Torn {
    fn cache(&self) -> LookupCache {
        self.rows.cache()
    }

    fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch, LookupFailure> {
        let bad = BadRecord {
            record: 7,
            fault: RecordFault::Syntax,
            field: None,
            reason: "it ends too early".into(),
            payload: "{\"device\"".into(),
        };
        self.aside.as_ref().expect("a job says where").put_aside("sites", "sites.json", &[bad]).unwrap();
        self.rows.fetch(keys)
    }

    fn put_aside_in(&mut self, ingest: &Arc<Ingest>) {
        self.aside = Some(Arc::clone(ingest));
    }
}

impl ConnectorHost for Torn {
    fn validate(&self, table: &ConnectorTable) -> Result<(), String> {
        self.rows.validate(table)
    }

    fn only_role(&self, table: &StreamDef) -> Option<Role> {
        self.rows.only_role(table)
    }

    fn look_up(
        &self,
        _table: &StreamDef,
        _columns: SchemaRef,
        _key: Vec<String>,
    ) -> Result<Box<dyn LookupTable>, String> {
        Ok(Box::new(self.clone()))
    }
}

#[test]
fn a_record_that_is_no_row_of_the_table_is_a_dead_letter_of_it() {
    let torn = Torn { rows: Outside::new(100, None), aside: None };
    let machine = Machine::with_connectors(1, Arc::new(torn));
    machine.create_readings(2);
    machine.sql(SITES);
    machine.sql(&placed("JOIN", ""));
    machine.append(&[("a", 1_000, 1)]);
    machine.catch_up();
    assert_eq!(machine.rows("placed"), ["a 1 10"]);
    let letters =
        "SELECT stream, source, record, code, reason, CAST(payload AS STRING) FROM system.dead_letters";
    assert_eq!(machine.query(letters), ["sites sites.json 7 HW2101 it ends too early {\"device\""]);
}
