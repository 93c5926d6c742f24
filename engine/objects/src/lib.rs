//! Objects of an address, on S3 or on disk: which there are, and their bytes.
//!
//! An address is `s3://bucket/prefix`, `file:///directory` or a path. What S3 needs beside (credentials, region, another endpoint) comes
//! from the environment's `AWS_` variables and never from an address, which is shown.

mod location;
mod profile;
mod reader;
mod s3;
mod split;

pub use location::{Location, Object, ObjectError, Result, fits};
pub use reader::Reader;
pub use s3::s3;
pub use split::{Split, splits};
