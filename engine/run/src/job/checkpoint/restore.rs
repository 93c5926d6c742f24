//! Reads checkpoints: the chain of the newest that is whole, or no more than where a job was.

use bytes::Bytes;
use headwater_operators::StateEntries;

use super::{MAGIC, Manifest, Part, Result, name_of, parts_of, step_of};
use crate::job::blobs::Blobs;
use crate::job::parts::{self, checksum};

/// Reads a blob that was sealed, and verifies it.
fn unsealed(blobs: &dyn Blobs, name: &str) -> Result<Bytes> {
    let bytes = blobs.get(name)?;
    match bytes.split_last_chunk::<4>() {
        Some((body, crc)) if checksum(body) == u32::from_le_bytes(*crc) => Ok(bytes.slice(..body.len())),
        _ => Err(format!("{name} is damaged: its checksum does not match")),
    }
}

/// A checkpoint as it was read, whole and checked; the parts that lie in blobs of their own are read when they are asked for.
struct Loaded {
    manifest: Manifest,
    parts: Bytes,
}

impl Loaded {
    /// Reads all of it.
    fn read(blobs: &dyn Blobs, step: u64) -> Result<Self> {
        let loaded = Self::read_main(blobs, step)?;
        for blob in 1..=loaded.manifest.parts.iter().map(|part| part.blob).max().unwrap_or(0) {
            unsealed(blobs, &parts_of(step, blob))?;
        }
        Ok(loaded)
    }

    /// Reads the blob of the manifest alone.
    fn read_main(blobs: &dyn Blobs, step: u64) -> Result<Self> {
        let name = name_of(step);
        let bytes = unsealed(blobs, &name)?;
        let damaged = |what: &str| format!("{name} is damaged: {what}");
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin as a checkpoint"))?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("too short"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let json = rest.get(..length).ok_or_else(|| damaged("the manifest is cut"))?;
        let manifest: Manifest = serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))?;
        let parts = bytes.slice(bytes.len() - rest.len() + length..);
        Ok(Self { manifest, parts })
    }

    fn bytes(&self) -> u64 {
        self.manifest.parts.iter().map(|part| part.part.length as u64).sum()
    }

    fn each(
        &self,
        blobs: &dyn Blobs,
        take: &mut dyn FnMut(usize, &StateEntries) -> crate::error::Result<()>,
    ) -> crate::error::Result<()> {
        let step = self.manifest.step;
        let bad = |reason| crate::RunError::Checkpoint { job: self.manifest.job.clone(), reason };
        let (mut open, mut bytes) = (0, self.parts.clone());
        for Part { stage, blob, part } in &self.manifest.parts {
            if *blob != open {
                bytes = match blob {
                    0 => self.parts.clone(),
                    blob => unsealed(blobs, &parts_of(step, *blob)).map_err(bad)?,
                };
                open = *blob;
            }
            let own = bytes.get(part.offset..part.offset + part.length);
            let own = own.ok_or_else(|| bad(format!("{} is cut", name_of(step))))?;
            let entries = parts::decode(own, part);
            take(*stage, &entries.map_err(|reason| bad(format!("{}, {reason}", name_of(step))))?)?;
        }
        Ok(())
    }
}

/// What a job is restored from.
pub(crate) struct Restored {
    /// Where it was.
    pub manifest: Manifest,
    /// The step of the full checkpoint that its chain begins with.
    pub base: u64,
    /// From the full one on.
    chain: Vec<Loaded>,
}

impl Restored {
    /// How many bytes of state there are, as they were written.
    pub fn bytes(&self) -> u64 {
        self.chain.iter().map(Loaded::bytes).sum()
    }

    /// Gives the state back, with the stage of each part, in the order in which it is to be restored.
    pub fn each(
        &self,
        blobs: &dyn Blobs,
        mut take: impl FnMut(usize, &StateEntries) -> crate::error::Result<()>,
    ) -> crate::error::Result<()> {
        self.chain.iter().try_for_each(|loaded| loaded.each(blobs, &mut take))
    }
}

/// Reads the newest checkpoint that is whole and fits the plan, which came with step `era`. Others are passed over, and named in the
/// second answer.
pub(crate) fn restore(blobs: &dyn Blobs, plan: &str, era: u64) -> Result<(Option<Restored>, Vec<String>)> {
    let mut passed_over = Vec::new();
    let mut steps: Vec<u64> = blobs.list()?.iter().filter_map(|name| step_of(name)).collect();
    steps.sort_unstable();
    for step in steps.into_iter().rev() {
        match restore_at(blobs, step, plan, era) {
            Ok(restored) => return Ok((Some(restored), passed_over)),
            Err(reason) => passed_over.push(reason),
        }
    }
    Ok((None, passed_over))
}

fn restore_at(blobs: &dyn Blobs, step: u64, plan: &str, era: u64) -> Result<Restored> {
    let newest = Loaded::read(blobs, step)?;
    if newest.manifest.plan != plan || newest.manifest.era != era {
        return Err(format!("{} belongs to another definition of the job", name_of(step)));
    }
    let mut chain = Vec::new();
    let mut previous = newest.manifest.previous;
    while let Some(step) = previous {
        let loaded = Loaded::read(blobs, step)?;
        previous = loaded.manifest.previous;
        chain.push(loaded);
    }
    chain.reverse();
    let manifest = newest.manifest.clone();
    chain.push(newest);
    Ok(Restored { base: chain[0].manifest.step, manifest, chain })
}

/// Where a job was at its newest checkpoint whose manifest can be read, of the definition that came with step `era`. The state is not
/// looked at: if it is damaged, the job does the steps from an older checkpoint on again, and comes to the same place.
pub(crate) fn newest_manifest(blobs: &dyn Blobs, era: u64) -> Result<Option<Manifest>> {
    let mut steps: Vec<u64> = blobs.list()?.iter().filter_map(|name| step_of(name)).collect();
    steps.sort_unstable();
    let manifests = steps
        .into_iter()
        .rev()
        .filter_map(|step| Loaded::read_main(blobs, step).ok())
        .map(|read| read.manifest);
    Ok({ manifests }.find(|manifest| manifest.era == era))
}
