// SPDX-License-Identifier: GPL-2.0

//! The file of results: a header, then compressed records of one sequence each.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;

use lz4_flex::frame::FrameDecoder;
use lz4_flex::frame::FrameEncoder;

use crate::diff::read_or_end;

const MAGIC: &[u8; 8] = b"ctcmp-01";

pub struct Record {
    pub number: u64,
    pub bytes: Vec<u8>,
}

pub struct Writer {
    out: FrameEncoder<BufWriter<File>>,
}

impl Writer {
    pub fn create(path: &str, seed: u64) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.write_all(MAGIC)?;
        file.write_all(&seed.to_le_bytes())?;
        Ok(Writer {
            out: FrameEncoder::new(file),
        })
    }

    pub fn put(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(&number.to_le_bytes())?;
        self.out.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.out.write_all(bytes)
    }

    pub fn finish(self) -> io::Result<()> {
        self.out.finish().map_err(io::Error::other)?.flush()
    }
}

pub struct Results {
    path: String,
    pub seed: u64,
    input: FrameDecoder<BufReader<File>>,
}

impl Results {
    pub fn open(path: &str) -> Result<Self, String> {
        let open = || -> io::Result<(u64, BufReader<File>)> {
            let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
            let mut head = [0; 16];
            file.read_exact(&mut head)?;
            if head[..8] != MAGIC[..] {
                return Err(io::Error::other("not a file of results"));
            }
            Ok((u64::from_le_bytes(head[8..].try_into().unwrap()), file))
        };
        let (seed, file) = open().map_err(|e| format!("{path}: {e}"))?;
        Ok(Results {
            path: path.to_string(),
            seed,
            input: FrameDecoder::new(file),
        })
    }

    pub fn next(&mut self) -> Result<Option<Record>, String> {
        let mut read = || -> io::Result<Option<Record>> {
            let mut head = [0; 16];
            if !read_or_end(&mut self.input, &mut head)? {
                return Ok(None);
            }
            let number = u64::from_le_bytes(head[..8].try_into().unwrap());
            let len = u64::from_le_bytes(head[8..].try_into().unwrap());
            if len > 1 << 30 {
                return Err(io::Error::other("a record too long"));
            }
            let mut bytes = vec![0; len as usize];
            self.input.read_exact(&mut bytes)?;
            Ok(Some(Record { number, bytes }))
        };
        read().map_err(|e| format!("{}: {e}", self.path))
    }
}
