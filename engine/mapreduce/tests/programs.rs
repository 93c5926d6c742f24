//! Real programs, in Python, against the same programs in a shell pipeline with `sort`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use headwater_core::World;
use headwater_mapreduce::{Counters, JobError, JobSpec, Phase, Program, Progress, run};
use headwater_objects::Location;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const MAP: &str = "#!/usr/bin/env python3
import sys
for line in sys.stdin:
    for word in line.split():
        print(f'{word}\\t1')
";

/// Counts each key, and fails if it sees a key again after another one.
const REDUCE: &str = "#!/usr/bin/env python3
import sys
seen, last, count = set(), None, 0
def say():
    if last is not None:
        print(f'{last}\\t{count}')
for line in sys.stdin:
    key, value = line.rstrip('\\n').split('\\t')
    if key != last:
        say()
        assert key not in seen, key
        seen.add(key)
        last, count = key, 0
    count += int(value)
say()
";

/// Fails at its first attempt of each task, after it has said half of what it has to say.
const FLAKY: &str = "#!/usr/bin/env python3
import os, sys
lines = sys.stdin.read().split()
attempt = os.environ['mapreduce_task_attempt_id']
first = attempt.endswith('-1')
for word in lines[: len(lines) // 2 if first else None]:
    print(f'{word}\\t1')
if first:
    sys.stdout.flush()
    sys.exit(f'{attempt} gives up')
";

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        for (name, text) in [("map.py", MAP), ("reduce.py", REDUCE), ("flaky.py", FLAKY)] {
            lab.write(name, text.as_bytes());
        }
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    /// Files of words, the last line of each without a line feed; one of them compressed.
    fn words(&self, seed: u64, files: usize, lines: usize) {
        let mut random = SmallRng::seed_from_u64(seed);
        for file in 0..files {
            let line = |random: &mut SmallRng| {
                let words =
                    (0..random.random_range(0..12)).map(|_| format!("w{}", random.random_range(0..500)));
                words.collect::<Vec<_>>().join(" ")
            };
            let text = (0..lines).map(|_| line(&mut random)).collect::<Vec<_>>().join("\n") + "\nlast words";
            if file == 0 {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text.as_bytes()).unwrap();
                self.write("in/a.txt.gz", &encoder.finish().unwrap());
            } else {
                self.write(&format!("in/b{file}.txt"), text.as_bytes());
            }
        }
    }

    fn spec(&self, mapper: &str, reducers: usize) -> JobSpec {
        // By its interpreter: a file that was just written may still be open in a process that another thread is about to start, and is not
        // run itself then.
        let program = |name: &str| {
            Program::new(vec!["python3".to_owned(), self.path(name).to_str().unwrap().to_owned()]).unwrap()
        };
        let place = |name: &str| Location::parse(self.path(name).to_str().unwrap()).unwrap();
        let mut spec = JobSpec::new(program(mapper), vec![place("in")], place("out"), self.path("work"), 2);
        spec.reducer = Some(program("reduce.py"));
        spec.reducers = reducers;
        spec
    }

    fn run(&self, spec: JobSpec) -> Result<Counters, String> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let done = runtime.block_on(run(&World::real(), spec, Arc::new(Progress::default())));
        assert_eq!(
            std::fs::read_dir(self.path("work")).map_or(0, Iterator::count),
            0,
            "no run is left behind"
        );
        done.map_err(|error| error.to_string())
    }

    /// The lines of a part.
    fn part(&self, number: usize) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(&format!("out/part-{number:05}"))).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// What the programs say in a shell: sorted by `sort`, as bytes.
    fn shell(&self, map: &str) -> Vec<String> {
        let script = format!(
            "for f in in/*; do (case $f in *.gz) gzip -dc $f;; *) cat $f;; esac; echo) | python3 {map}; done \
             | LC_ALL=C sort | python3 reduce.py"
        );
        let mut bash = Command::new("bash");
        let output =
            bash.args(["-c", &script]).current_dir(self.dir.path()).stderr(Stdio::inherit()).output();
        let output = output.unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn one_reducer_gives_what_the_shell_gives() {
    let lab = Lab::new();
    lab.words(1, 4, 400);
    let counters = lab.run(lab.spec("map.py", 1)).unwrap();
    assert_eq!(lab.part(0), lab.shell("map.py"));
    assert_eq!(names(&lab.path("out")), ["_SUCCESS", "part-00000"]);
    assert_eq!(
        (counters.phase, counters.maps, counters.maps_done, counters.reduces_done),
        (Phase::Done, 4, 4, 1)
    );
    assert_eq!((counters.output_lines, counters.failed_attempts), (502, 0));
    assert_eq!(counters.input_bytes, counters.input_bytes_read);
    let again = lab.run(lab.spec("map.py", 1)).unwrap_err();
    assert!(again.contains("is not empty"), "{again}");
}

#[test]
fn many_reducers_little_memory_small_splits_and_a_combiner() {
    let lab = Lab::new();
    lab.words(2, 3, 3000);
    let expect = {
        let mut lines = lab.shell("map.py");
        lines.sort();
        lines
    };
    for combine in [false, true] {
        let mut spec = lab.spec("map.py", 5);
        // Lines of a dozen bytes: more runs than can be merged at once, unless a combiner makes them costly to make.
        spec.memory = if combine { 400 << 10 } else { 8 << 10 };
        spec.split = Some(20_000);
        spec.combiner = combine.then(|| spec.reducer.clone().unwrap());
        spec.output = Location::parse(lab.path(&format!("out{combine}")).to_str().unwrap()).unwrap();
        let counters = lab.run(spec).unwrap();
        assert!(counters.maps > 5, "{counters:?}");
        let mut lines = Vec::new();
        for part in 0..5 {
            let text = std::fs::read_to_string(lab.path(&format!("out{combine}/part-{part:05}"))).unwrap();
            let own: Vec<_> = text.lines().map(str::to_owned).collect();
            let keys: Vec<_> = own.iter().map(|line| line.split('\t').next().unwrap()).collect();
            assert!(keys.is_sorted());
            lines.extend(own);
        }
        lines.sort();
        assert_eq!(lines, expect, "with a combiner: {combine}");
    }
}

#[test]
fn what_a_combiner_says_is_kept_of_all_its_runs() {
    let lab = Lab::new();
    lab.words(6, 1, 400);
    let mut spec = lab.spec("map.py", 1);
    spec.memory = 64 << 10;
    let script = "echo combined >&2; cat";
    spec.combiner = Some(Program::new(["sh", "-c", script].map(str::to_owned).to_vec()).unwrap());
    lab.run(spec).unwrap();
    assert_eq!(lab.part(0), lab.shell("map.py"));
    let said = std::fs::read_to_string(lab.path("out/_logs/map-00000-combine-1.stderr")).unwrap();
    assert!(said.lines().count() > 2 && said.lines().all(|line| line == "combined"), "{said}");
}

#[test]
fn an_input_that_is_not_there_is_a_mistake() {
    let lab = Lab::new();
    lab.words(7, 1, 3);
    for input in ["im", "in/*.csv"] {
        let mut spec = lab.spec("map.py", 1);
        spec.inputs.push(Location::parse(lab.path(input).to_str().unwrap()).unwrap());
        let error = lab.run(spec).unwrap_err();
        assert!(error.contains(input) && error.contains("nothing lies there"), "{error}");
        assert!(!lab.path("out").exists());
    }
}

#[test]
fn what_a_former_run_has_left_is_taken_away() {
    let lab = Lab::new();
    lab.words(3, 2, 200);
    // A run by four processors that was killed before its end; what is not its own stays.
    for (name, text) in
        [("out/part-00000", "w1\t99\n"), ("out/part-00003", "w1\t99\n"), ("out/part-of", "mine")]
    {
        lab.write(name, text.as_bytes());
    }
    let mut spec = lab.spec("map.py", 2);
    spec.again = true;
    lab.run(spec).unwrap();
    assert_eq!(names(&lab.path("out")), ["_SUCCESS", "part-00000", "part-00001", "part-of"]);
    let mut lines = [lab.part(0), lab.part(1)].concat();
    lines.sort();
    let mut expect = lab.shell("map.py");
    expect.sort();
    assert_eq!(lines, expect);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a job is stopped from beside it")]
fn a_program_that_is_stopped_ends_with_all_that_it_has_started() {
    let lab = Lab::new();
    lab.words(4, 1, 10);
    let script = "sleep 600 & echo $! > child; wait";
    let mut spec = lab.spec("map.py", 1);
    let child = lab.path("child");
    let words = ["sh", "-c", &script.replace("child", child.to_str().unwrap())].map(str::to_owned);
    spec.mapper = Program::new(words.to_vec()).unwrap();
    let progress = Arc::new(Progress::default());
    let stopping = Arc::clone(&progress);
    let until = std::thread::spawn({
        let child = child.clone();
        move || {
            while !std::fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n')) {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            stopping.stop();
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // It holds standard output open, so that this ends only when it does.
    let done = runtime.block_on(run(&World::real(), spec, progress));
    until.join().unwrap();
    assert!(matches!(done, Err(JobError::Stopped)), "{done:?}");
}

#[test]
fn a_task_that_fails_is_tried_again_and_what_it_says_is_kept() {
    let lab = Lab::new();
    lab.words(3, 2, 50);
    let counters = lab.run(lab.spec("flaky.py", 1)).unwrap();
    assert_eq!(lab.part(0), lab.shell("map.py"));
    assert_eq!(counters.failed_attempts, 2);
    assert_eq!(names(&lab.path("out/_logs")), ["map-00000-1.stderr", "map-00001-1.stderr"]);
    let said = std::fs::read_to_string(lab.path("out/_logs/map-00000-1.stderr")).unwrap();
    assert_eq!(said, "map-00000-1 gives up\n");

    let mut spec = lab.spec("flaky.py", 1);
    spec.attempts = 1;
    spec.output = Location::parse(lab.path("never").to_str().unwrap()).unwrap();
    let error = lab.run(spec).unwrap_err();
    assert!(error.contains("failed 1 times") && error.contains("gives up"), "{error}");
    assert!(!lab.path("never/_SUCCESS").exists() && !lab.path("never/part-00000").exists());
}

#[test]
fn a_task_that_hangs_is_ended_and_tried_again_and_a_slow_one_is_not() {
    let lab = Lab::new();
    lab.write("in/a", b"w2\t1\nw1\t1\n");
    let with_mapper = |script: &str, output: &str| {
        let mut spec = lab.spec("map.py", 1);
        spec.mapper = Program::new(["sh", "-c", script].map(str::to_owned).to_vec()).unwrap();
        spec.output = Location::parse(lab.path(output).to_str().unwrap()).unwrap();
        // Long enough for a shell to begin on a machine that is busy with other things.
        spec.timeout = Some(std::time::Duration::from_secs(5));
        spec
    };
    let hangs = "case $mapreduce_task_attempt_id in *-1) echo w3; sleep 600;; esac; cat";
    let counters = lab.run(with_mapper(hangs, "out")).unwrap();
    assert_eq!((lab.part(0), counters.failed_attempts), (vec!["w1\t1".to_owned(), "w2\t1".to_owned()], 1));

    let mut spec = with_mapper(hangs, "never");
    spec.attempts = 1;
    let error = lab.run(spec).unwrap_err();
    assert!(error.contains("has neither read nor said anything for 5s"), "{error}");

    let slow = "cat > /dev/null; for n in $(seq 12); do sleep 0.5; printf 'w\\t1\\n'; done";
    let counters = lab.run(with_mapper(slow, "slow")).unwrap();
    assert_eq!((counters.map_output_lines, counters.failed_attempts), (12, 0));
}

#[test]
fn without_reducers_the_mappers_write_the_output() {
    let lab = Lab::new();
    lab.write("in/a", b"one two\nthree");
    lab.write("in/empty", b"");
    let mut spec = lab.spec("map.py", 0);
    spec.reducer = None;
    lab.run(spec).unwrap();
    assert_eq!(lab.part(0), ["one\t1", "two\t1", "three\t1"]);
    assert_eq!(lab.part(1), Vec::<String>::new());

    let mut spec = lab.spec("map.py", 1);
    spec.reducer = None;
    spec.output = Location::parse(lab.path("sorted").to_str().unwrap()).unwrap();
    lab.run(spec).unwrap();
    assert_eq!(std::fs::read_to_string(lab.path("sorted/part-00000")).unwrap(), "one\t1\nthree\t1\ntwo\t1\n");
}

#[test]
fn a_program_that_is_not_there_is_told_by_name() {
    let lab = Lab::new();
    lab.words(4, 1, 3);
    let mut spec = lab.spec("map.py", 1);
    spec.mapper = Program::new(vec![lab.path("nowhere.py").to_str().unwrap().to_owned()]).unwrap();
    spec.attempts = 2;
    let error = lab.run(spec).unwrap_err();
    assert!(error.contains("nowhere.py could not be started") && error.contains("failed 2 times"), "{error}");
}

/// `tests/run` starts a store and says where in the environment.
#[test]
fn from_and_to_an_object_store() {
    if !std::env::var("HEADWATER_TEST_S3").is_ok_and(|store| store != "/nowhere") {
        println!("left out: HEADWATER_TEST_S3 names no store");
        return;
    }
    let lab = Lab::new();
    lab.words(5, 3, 200);
    let base = format!("s3://headwater-tests/mapreduce-{}", std::process::id());
    let (input, output) = (format!("{base}/in"), format!("{base}/out"));
    let (input, output) = (Location::parse(&input).unwrap(), Location::parse(&output).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for name in names(&lab.path("in")) {
        let bytes = std::fs::read(lab.path(&format!("in/{name}"))).unwrap();
        runtime.block_on(input.put(&name, bytes.into())).unwrap();
    }
    let mut spec = lab.spec("map.py", 2);
    (spec.inputs, spec.output) = (vec![input], output.clone());
    lab.run(spec).unwrap();
    let mut lines = Vec::new();
    for object in runtime.block_on(output.list()).unwrap() {
        let bytes = runtime.block_on(output.bytes(&object.path, 0, object.size)).unwrap();
        lines.extend(String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned));
    }
    lines.sort();
    let mut expect = lab.shell("map.py");
    expect.sort();
    assert_eq!(lines, expect);
}
