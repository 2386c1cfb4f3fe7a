//! [`Remote`]: the device as a backend sees it. Nothing that comes from the program is believed
//! before it is checked.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::launch::{Launch, Program};
use super::protocol::{MOST_NEIGHBOURS, Message, Results, SLOTS, VERSION, kind, metric_number};
use super::shared::{receive, send};
use crate::search::{Assign, Assigner, Device, DeviceError, Nearest, Neighbour, Search, Wanted};

/// How a caller waits: for the socket, and for what else it has to answer to.
pub trait Wait<E> {
    /// Returns once the socket can be read, or about `timeout` has passed; whether it can be. An error
    /// or a panic ends the work and the program.
    fn readable(&mut self, socket: RawFd, timeout: Duration) -> Result<bool, E>;
}

/// What was found where the program runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The device's name.
    pub name: String,
    /// Bytes of its memory.
    pub memory: u64,
    /// Bytes of it that were free.
    pub free: u64,
    /// The CUDA version of the driver, as 12040 for 12.4.
    pub driver: u32,
    /// Compute capability, as 90 for 9.0.
    pub capability: u32,
}

/// What went through a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Searches and assignments begun.
    pub requests: u64,
    /// Vectors sent, queries and rows.
    pub vectors: u64,
    /// Bytes of vectors sent and of results received.
    pub bytes: u64,
}

/// A device that another program drives. Dropping it ends the program.
pub struct Remote<E> {
    program: Program,
    wait: Box<dyn Wait<E>>,
    patience: Duration,
    info: DeviceInfo,
    tally: Tally,
    /// A search was begun and did not come to its end.
    busy: bool,
}

/// The number of the metric of a search that a GPU can do, with vectors through slots of so many
/// bytes; why it can't.
pub fn suits(wanted: Wanted, dims: usize, slot_bytes: usize) -> Result<u32, String> {
    let Some(metric) = metric_number(wanted.metric) else {
        return Err("it knows no distances of bit strings".into());
    };
    if !(1..=MOST_NEIGHBOURS).contains(&wanted.k) {
        return Err(format!("it finds 1 to {MOST_NEIGHBOURS} rows for a query"));
    }
    if dims == 0 || dims * 4 > slot_bytes || wanted.k * 16 + 12 > slot_bytes {
        return Err(format!("it takes no vectors of {dims} dimensions"));
    }
    Ok(metric)
}

/// A message that has no place where it came.
fn rubbish<E>(what: impl Display) -> DeviceError<E> {
    DeviceError::Lost(format!("the GPU program sent {what}"))
}

fn lost<E>(what: &str, error: io::Error) -> DeviceError<E> {
    DeviceError::Lost(format!("{what}: {error}"))
}

impl<E> Remote<E> {
    /// Starts the program and asks what it found.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] with the reason where no GPU can be used, and what `wait` returns.
    pub fn start(launch: &Launch, wait: Box<dyn Wait<E>>) -> Result<Self, DeviceError<E>> {
        let program = Program::start(launch)
            .map_err(|error| lost(&format!("cannot start {}", launch.program.display()), error))?;
        let mut remote = Remote {
            program,
            wait,
            patience: launch.patience,
            info: DeviceInfo::default(),
            tally: Tally::default(),
            busy: false,
        };
        remote.send(Message {
            a: u64::from(VERSION),
            b: u64::from(launch.ordinal),
            c: launch.memory,
            ..Message::of(kind::HELLO)
        })?;
        let (message, name) = remote.receive(kind::DEVICE)?;
        remote.info = DeviceInfo {
            name,
            memory: message.a,
            free: message.b,
            driver: (message.c >> 32) as u32,
            capability: message.c as u32,
        };
        Ok(remote)
    }

    /// What the program found.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What went through so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn send(&mut self, message: Message) -> Result<(), DeviceError<E>> {
        match send(self.program.socket(), &message, "") {
            Ok(()) => Ok(()),
            // It may have said why before it ended.
            Err(_) => match receive(self.program.socket(), false) {
                Ok(Some((message, why))) if message.kind == kind::FAILED => {
                    Err(DeviceError::Lost(why))
                }
                _ => Err(DeviceError::Lost(self.program.ended())),
            },
        }
    }

    /// The next message, which is of this kind.
    fn receive(&mut self, expected: u32) -> Result<(Message, String), DeviceError<E>> {
        let socket = self.program.socket();
        let deadline = Instant::now() + self.patience;
        loop {
            match receive(socket, false) {
                Ok(Some((message, why))) if message.kind == kind::FAILED => {
                    return Err(DeviceError::Lost(why));
                }
                Ok(Some((message, text))) if message.kind == expected => {
                    return Ok((message, text));
                }
                Ok(Some((message, _))) => {
                    return Err(rubbish(format_args!("a message of kind {}", message.kind)));
                }
                Ok(None) => return Err(self.ended(socket)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(self.ended(socket));
                }
                Err(error) => return Err(lost("cannot hear the GPU program", error)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let readable = self.wait.readable(socket, left);
            if !readable.map_err(DeviceError::Poll)? && Instant::now() >= deadline {
                let seconds = self.patience.as_secs_f64();
                let why = format!("the GPU program said nothing for {seconds} seconds");
                return Err(DeviceError::Lost(why));
            }
        }
    }

    /// What it means that the program closed its end: what the caller has to answer to comes first.
    fn ended(&mut self, socket: RawFd) -> DeviceError<E> {
        match self.wait.readable(socket, Duration::ZERO) {
            Err(error) => DeviceError::Poll(error),
            Ok(_) => DeviceError::Lost(self.program.ended()),
        }
    }

    fn begin(
        &mut self,
        wanted: Wanted,
        dims: usize,
        queries: &[f32],
    ) -> Result<Searching<'_, E>, DeviceError<E>> {
        let slot_bytes = self.program.shared.slot_bytes();
        let metric = suits(wanted, dims, slot_bytes).map_err(DeviceError::Lost)?;
        if !queries.len().is_multiple_of(dims) {
            return Err(DeviceError::WrongDimensions {
                expected: dims,
                got: queries.len(),
            });
        }
        if std::mem::replace(&mut self.busy, true) {
            let why = "an earlier search on the GPU broke off";
            return Err(DeviceError::Lost(why.into()));
        }
        self.tally.requests += 1;
        self.send(Message {
            kind: kind::BEGIN,
            slot: metric,
            a: wanted.k as u64,
            b: dims as u64,
            c: (queries.len() / dims) as u64,
            real: wanted.within.unwrap_or(f64::NAN),
        })?;
        self.receive(kind::READY)?;
        let mut searching = Searching {
            remote: self,
            wanted,
            dims,
            queries: queries.len() / dims,
            offered: 0,
            pending: VecDeque::new(),
            free: (0..SLOTS).collect(),
            settled: VecDeque::new(),
        };
        for part in queries.chunks(searching.slot_vectors() * dims) {
            searching.put(kind::QUERIES, part, true)?;
        }
        Ok(searching)
    }
}

/// A search that the program works on.
struct Searching<'a, E> {
    remote: &'a mut Remote<E>,
    wanted: Wanted,
    dims: usize,
    queries: usize,
    /// Rows offered so far.
    offered: u64,
    /// What was sent and is not answered yet, in order.
    pending: VecDeque<Pending>,
    free: Vec<usize>,
    /// Batches that are done and not told of: pieces of them, and whether a piece is a batch's last.
    settled: VecDeque<(Vec<bool>, bool)>,
}

struct Pending {
    kind: u32,
    slot: usize,
    vectors: usize,
    /// Whether it is the last of what the caller gave at once.
    last: bool,
}

impl<E> Searching<'_, E> {
    /// Vectors that a slot holds.
    fn slot_vectors(&self) -> usize {
        self.remote.program.shared.slot_bytes() / (self.dims * 4)
    }

    /// Sends some vectors, as soon as a slot is free; `last` as in [`Pending`].
    fn put(&mut self, what: u32, vectors: &[f32], last: bool) -> Result<(), DeviceError<E>> {
        let slot = loop {
            match self.free.pop() {
                Some(slot) => break slot,
                None => self.answer()?,
            }
        };
        let bytes: &[u8] = bytemuck::cast_slice(vectors);
        self.remote.program.shared.slot(slot)[..bytes.len()].copy_from_slice(bytes);
        let count = vectors.len() / self.dims;
        self.remote.tally.vectors += count as u64;
        self.remote.tally.bytes += bytes.len() as u64;
        self.remote.send(Message {
            slot: slot as u32,
            a: count as u64,
            ..Message::of(what)
        })?;
        self.pending.push_back(Pending {
            kind: what,
            slot,
            vectors: count,
            last,
        });
        Ok(())
    }

    /// Waits for the answer to what was sent earliest.
    fn answer(&mut self) -> Result<(), DeviceError<E>> {
        let (message, _) = self.remote.receive(kind::TAKEN)?;
        let Some(earliest) = self.pending.pop_front() else {
            return Err(rubbish("an answer to nothing"));
        };
        if message.slot as usize != earliest.slot {
            return Err(rubbish(format_args!("an answer for slot {}", message.slot)));
        }
        if earliest.kind == kind::ROWS {
            let marks = &*self.remote.program.shared.slot(earliest.slot);
            let held = |row: usize| marks[row / 8] >> (row % 8) & 1 == 1;
            let piece = (0..earliest.vectors).map(held).collect();
            self.settled.push_back((piece, earliest.last));
        }
        self.free.push(earliest.slot);
        Ok(())
    }

    /// Hands all results to `each`, query by query.
    fn results(&mut self, each: &mut dyn FnMut(&[Neighbour])) -> Result<(), DeviceError<E>> {
        while !self.pending.is_empty() {
            self.answer()?;
        }
        let mut told = 0;
        while told < self.queries {
            self.remote.send(Message::of(kind::RESULTS))?;
            let (message, _) = self.remote.receive(kind::FOUND)?;
            told += self.take(told, message.a as usize, each)?;
        }
        self.remote.busy = false;
        Ok(())
    }

    /// Results of the next queries, which slot 0 holds; their number.
    fn take(
        &mut self,
        told: usize,
        count: usize,
        each: &mut dyn FnMut(&[Neighbour]),
    ) -> Result<usize, DeviceError<E>> {
        let most = Results::fit(self.remote.program.shared.slot_bytes(), self.wanted.k);
        if count == 0 || count > most || told + count > self.queries {
            return Err(rubbish(format_args!("results of {count} queries")));
        }
        let layout = Results::of(count, self.wanted.k);
        let slot = &*self.remote.program.shared.slot(0);
        let mut found = Vec::with_capacity(self.wanted.k);
        for query in 0..count {
            let (rows, distances) = (layout.read(slot, query))
                .ok_or_else(|| rubbish("a count of rows that is too large"))?;
            found.clear();
            let pairs = rows.iter().zip(distances);
            found.extend(pairs.map(|(&row, &distance)| Neighbour { distance, row }));
            if found.iter().any(|found| found.row >= self.offered)
                || found.windows(2).any(|pair| pair[0] >= pair[1])
            {
                return Err(rubbish("rows that were not offered, or out of order"));
            }
            self.remote.tally.bytes += 16 * found.len() as u64;
            each(&found);
        }
        Ok(count)
    }

    /// Begins anew with the same queries.
    fn again(&mut self) -> Result<(), DeviceError<E>> {
        self.remote.busy = true;
        self.remote.send(Message::of(kind::AGAIN))?;
        self.remote.receive(kind::READY)?;
        self.offered = 0;
        self.settled.clear();
        Ok(())
    }
}

impl<E> Search<E> for Searching<'_, E> {
    fn offer(&mut self, rows: &[f32]) -> Result<(), DeviceError<E>> {
        if !rows.len().is_multiple_of(self.dims) {
            return Err(DeviceError::WrongDimensions {
                expected: self.dims,
                got: rows.len(),
            });
        }
        self.offered += (rows.len() / self.dims) as u64;
        if rows.is_empty() {
            self.settled.push_back((Vec::new(), true));
            return Ok(());
        }
        let mut pieces = rows.chunks(self.slot_vectors() * self.dims).peekable();
        while let Some(piece) = pieces.next() {
            self.put(kind::ROWS, piece, pieces.peek().is_none())?;
        }
        Ok(())
    }

    fn settled(&mut self, wait: bool) -> Result<Option<Vec<bool>>, DeviceError<E>> {
        while wait && !self.pending.is_empty() {
            self.answer()?;
        }
        if !self.settled.iter().any(|(_, last)| *last) {
            return Ok(None);
        }
        let mut batch = Vec::new();
        while let Some((piece, last)) = self.settled.pop_front() {
            batch.extend(piece);
            if last {
                break;
            }
        }
        Ok(Some(batch))
    }

    fn held(&mut self) -> Option<Vec<u64>> {
        None
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Vec<Neighbour>>, DeviceError<E>> {
        let mut all = Vec::new();
        self.results(&mut |found| all.push(found.to_vec()))?;
        Ok(all)
    }
}

/// An assignment is a search in which the rows are queries, and each looks for one centroid.
struct Assigning<'a, E> {
    search: Searching<'a, E>,
    by: Assign,
    /// Whether centroids were offered before.
    used: bool,
}

impl<E> Assigner<E> for Assigning<'_, E> {
    fn nearest(
        &mut self,
        centroids: &[f32],
        nearest: &mut [Nearest],
    ) -> Result<(), DeviceError<E>> {
        if std::mem::replace(&mut self.used, true) {
            self.search.again()?;
        }
        self.search.offer(centroids)?;
        let by = self.by;
        let mut rest = nearest.iter_mut();
        self.search.results(&mut |found| {
            if let Some(nearest) = rest.next() {
                *nearest = nearest_of(by, found);
            }
        })
    }
}

/// From what the operator gives to keys, which lose nothing: a root in double precision tells all
/// numbers of single precision apart.
fn nearest_of(by: Assign, found: &[Neighbour]) -> Nearest {
    match found.first() {
        Some(nearest) if nearest.distance < f64::INFINITY => Nearest {
            index: nearest.row as u32,
            key: match by {
                Assign::L2 => (nearest.distance * nearest.distance) as f32,
                Assign::Dot => nearest.distance as f32,
            },
        },
        // What overflows is as far as can be, and the first of those is taken.
        _ => Nearest::NONE,
    }
}

impl<E> Device<E> for Remote<E> {
    fn search<'a>(
        &'a mut self,
        wanted: Wanted,
        dims: usize,
        queries: &[f32],
    ) -> Result<Box<dyn Search<E> + 'a>, DeviceError<E>> {
        Ok(Box::new(self.begin(wanted, dims, queries)?))
    }

    fn assigner<'a>(
        &'a mut self,
        by: Assign,
        dims: usize,
        rows: &[f32],
    ) -> Result<Box<dyn Assigner<E> + 'a>, DeviceError<E>> {
        Ok(Box::new(Assigning {
            search: self.begin(Wanted::nearest(by), dims, rows)?,
            by,
            used: false,
        }))
    }
}
