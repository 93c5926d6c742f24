//! Which log a data directory belongs to.
//!
//! The directory of a server whose log is on Kafka holds checkpoints and state of that log, and in a file, `log-on-kafka.toml`, the log's
//! name and its brokers. So a command that is told nothing of Kafka does not make another log there, on the disk; and a directory with a
//! log on the disk is not given to a log on Kafka. The file says nothing secret, and nothing is opened by it.

use std::io;
use std::io::IoSlice;
use std::path::{Path, PathBuf};

use headwater_core::world::Open;
use headwater_core::{Code, World};
use headwater_log::DiskLog;
use serde::{Deserialize, Serialize};

use crate::log_place::LogPlace;

const FILE: &str = "log-on-kafka.toml";

/// What the file says.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    name: String,
    servers: String,
}

/// Why a data directory is not that of a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MarkError {
    /// The log is on Kafka, and one on the disk was asked for.
    #[error(
        "{} belongs to log {name} on Kafka at {servers}, and no log on the disk is made in it: look at that log with `--config` and its \
         server's file, or with `--log kafka --log-name {name} --log-property bootstrap.servers={servers}`, or ask its server with \
         --url; for a log on the disk give another directory", data.display()
    )]
    OnKafka {
        /// The directory.
        data: PathBuf,
        /// The log's name.
        name: String,
        /// Its brokers.
        servers: String,
    },
    /// The log is on the disk, and one on Kafka was asked for.
    #[error(
        "{} holds a log on the disk and cannot serve log {name} on Kafka: give another directory, or leave Kafka out",
        data.display()
    )]
    OnDisk {
        /// The directory.
        data: PathBuf,
        /// The name of the log on Kafka.
        name: String,
    },
    /// Another log on Kafka is its.
    #[error(
        "{} belongs to log {of} on Kafka, whose checkpoints are of no use to log {name}: give another directory, or the right name",
        data.display()
    )]
    OfAnother {
        /// The directory.
        data: PathBuf,
        /// Whose it is.
        of: String,
        /// Whose it was to be.
        name: String,
    },
    /// The file cannot be read or written.
    #[error("{}, which says which log on Kafka the directory belongs to: {reason}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl MarkError {
    /// The code of the error.
    pub const fn code(&self) -> Code {
        Code::new("HW6103")
    }
}

/// Checks that a directory, which need not be there, can be that of a log.
pub(crate) fn check(world: &World, data: &Path, log: &LogPlace) -> Result<(), MarkError> {
    let mark = read(world, data)?;
    let data = data.to_owned();
    match (log, mark) {
        (LogPlace::Disk, None) => Ok(()),
        (LogPlace::Disk, Some(Mark { name, servers })) => Err(MarkError::OnKafka { data, name, servers }),
        (LogPlace::Kafka { name, .. }, Some(mark)) if mark.name != *name => {
            Err(MarkError::OfAnother { data, of: mark.name, name: name.clone() })
        }
        (LogPlace::Kafka { name, .. }, None) if DiskLog::is_in(world, &data) => {
            Err(MarkError::OnDisk { data, name: name.clone() })
        }
        (LogPlace::Kafka { .. }, _) => Ok(()),
    }
}

/// Writes down that a directory belongs to a log, if that is on Kafka and was opened there.
pub(crate) fn write(world: &World, data: &Path, log: &LogPlace) -> Result<(), MarkError> {
    let LogPlace::Kafka { name, .. } = log else { return Ok(()) };
    let mark = Mark { name: name.clone(), servers: log.servers().unwrap_or_default().to_owned() };
    if read(world, data)?.as_ref() == Some(&mark) {
        return Ok(());
    }
    let unusable = |reason: String| MarkError::Unusable { file: data.join(FILE), reason };
    let text = toml::to_string(&mark).map_err(|error| unusable(error.to_string()))?;
    put(world, data, text.as_bytes()).map_err(|error| unusable(error.to_string()))
}

fn put(world: &World, data: &Path, bytes: &[u8]) -> io::Result<()> {
    let (disk, partial) = (&world.disk, data.join(format!("{FILE}.tmp")));
    disk.create_dir(data)?;
    match disk.remove(&partial) {
        // Left over from a crash in the middle of this.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&partial, Open::Create)?;
    file.write_all_at(&mut [IoSlice::new(bytes)], 0)?;
    file.sync()?;
    disk.rename(&partial, &data.join(FILE))?;
    disk.sync_dir(data)
}

fn read(world: &World, data: &Path) -> Result<Option<Mark>, MarkError> {
    let file = data.join(FILE);
    let unusable = |reason: String| MarkError::Unusable { file: file.clone(), reason };
    let opened = match world.disk.open(&file, Open::Read) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened.map_err(|error| unusable(error.to_string()))?,
    };
    let length = opened.len().map_err(|error| unusable(error.to_string()))?;
    let bytes = opened.read_vec_at(usize::try_from(length).unwrap_or(usize::MAX).min(LENGTH_MAX), 0);
    let bytes = bytes.map_err(|error| unusable(error.to_string()))?;
    toml::from_str(&String::from_utf8_lossy(&bytes)).map(Some).map_err(|error| unusable(error.to_string()))
}

/// What of a file is read that should hold two lines.
const LENGTH_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use headwater_log::{DiskLogOptions, Log};

    use super::*;

    fn kafka(name: &str, servers: &str) -> LogPlace {
        let options = [("properties.bootstrap.servers".to_owned(), servers.to_owned())].into();
        LogPlace::Kafka { name: name.to_owned(), options }
    }

    fn told(data: &Path, log: &LogPlace) -> String {
        check(&World::real(), data, log).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_is_that_of_one_log() {
        let (world, dir) = (World::real(), tempfile::tempdir().unwrap());
        let data = dir.path().join("data");
        let fleet = kafka("fleet", "b1:9092,b2:9092");
        // Nothing is there yet, and a check makes nothing.
        for log in [&LogPlace::Disk, &fleet] {
            check(&world, &data, log).unwrap();
        }
        assert!(!data.exists());
        write(&world, &data, &fleet).unwrap();
        check(&world, &data, &fleet).unwrap();
        let error = told(&data, &LogPlace::Disk);
        let says =
            ["fleet on Kafka at b1:9092,b2:9092", "--config", "bootstrap.servers=b1:9092,b2:9092", "--url"];
        assert!(says.iter().all(|part| error.contains(part)), "{error}");
        assert!(told(&data, &kafka("other", "b1:9092")).contains("belongs to log fleet"));
        // Brokers come and go.
        let moved = kafka("fleet", "b3:9092");
        check(&world, &data, &moved).unwrap();
        write(&world, &data, &moved).unwrap();
        assert!(told(&data, &LogPlace::Disk).contains("at b3:9092"));
    }

    #[test]
    fn a_log_on_the_disk_keeps_its_directory() {
        let (world, dir) = (World::real(), tempfile::tempdir().unwrap());
        let log = DiskLog::open(world.clone(), dir.path(), DiskLogOptions::default()).unwrap();
        log.close().unwrap();
        check(&world, dir.path(), &LogPlace::Disk).unwrap();
        write(&world, dir.path(), &LogPlace::Disk).unwrap();
        let error = told(dir.path(), &kafka("fleet", "b1:9092"));
        assert!(error.contains("holds a log on the disk") && error.contains("another directory"), "{error}");
    }

    #[test]
    fn a_file_that_says_something_else_is_named() {
        let (world, dir) = (World::real(), tempfile::tempdir().unwrap());
        put(&world, dir.path(), b"name = 7").unwrap();
        let error = told(dir.path(), &LogPlace::Disk);
        assert!(error.contains(FILE) && error.contains("integer"), "{error}");
    }
}
