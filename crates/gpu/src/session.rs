//! What the backend asks, one message after the other.

use std::os::fd::RawFd;

use pgnear_device::remote::protocol::{MOST_NEIGHBOURS, Message, SLOTS, VERSION, kind};
use pgnear_device::remote::shared::{Shared, receive, send};

use crate::cuda::{Cuda, Failure};
use crate::search::{Asked, Search};

/// Serves a backend until it closes its end, or something fails.
pub fn run(socket: RawFd, mut shared: Shared) {
    if let Err(failure) = serve(socket, &mut shared) {
        fail(socket, &failure.to_string());
    }
    // The driver may still know the memory.
    std::mem::forget(shared);
}

/// Tells the backend why nothing can be done.
pub fn fail(socket: RawFd, why: &str) {
    // Nobody is left to tell where that fails.
    let _ = send(socket, &Message::of(kind::FAILED), why);
}

fn other(why: impl Into<String>) -> Failure {
    Failure::Other(why.into())
}

/// The next message; `None` where the backend is gone.
fn next(socket: RawFd) -> Result<Option<Message>, Failure> {
    match receive(socket, true) {
        Ok(message) => Ok(message.map(|(message, _)| message)),
        Err(error) => Err(other(format!("the backend cannot be heard: {error}"))),
    }
}

fn reply(socket: RawFd, message: Message, text: &str) -> Result<(), Failure> {
    send(socket, &message, text).map_err(|error| other(format!("the backend is gone: {error}")))
}

fn serve(socket: RawFd, shared: &mut Shared) -> Result<(), Failure> {
    let Some(hello) = next(socket)? else {
        return Ok(());
    };
    if hello.kind != kind::HELLO || hello.a != u64::from(VERSION) {
        return Err(other(
            "the GPU program and the extension are of different versions; install both anew",
        ));
    }
    let cuda = Cuda::open(hello.b as u32, hello.c)?;
    for slot in 0..SLOTS {
        cuda.pin(shared.slot(slot));
    }
    reply(
        socket,
        Message {
            a: cuda.memory.0,
            b: cuda.memory.1,
            c: u64::from(cuda.driver) << 32 | u64::from(cuda.capability),
            ..Message::of(kind::DEVICE)
        },
        &cuda.name,
    )?;
    let mut search: Option<Search<'_>> = None;
    while let Some(message) = next(socket)? {
        match (message.kind, &mut search) {
            (kind::BEGIN, _) => {
                // Its memory goes first.
                drop(search.take());
                search = Some(begin(&cuda, &message, shared.slot_bytes())?);
                reply(socket, Message::of(kind::READY), "")?;
            }
            (kind::QUERIES | kind::ROWS, Some(search)) => take(socket, search, &message, shared)?,
            (kind::AGAIN, Some(search)) => {
                search.again()?;
                reply(socket, Message::of(kind::READY), "")?;
            }
            (kind::RESULTS, Some(search)) => {
                let count = search.tell(shared.slot(0))?;
                let found = Message {
                    a: count as u64,
                    ..Message::of(kind::FOUND)
                };
                reply(socket, found, "")?;
            }
            _ => return Err(other(format!("an unexpected message {}", message.kind))),
        }
    }
    Ok(())
}

fn begin<'c>(cuda: &'c Cuda, message: &Message, slot_bytes: usize) -> Result<Search<'c>, Failure> {
    let asked = Asked {
        metric: message.slot,
        k: message.a as usize,
        dims: message.b as usize,
        queries: message.c as usize,
        within: message.real,
    };
    let sound = asked.metric <= 3
        && (1..=MOST_NEIGHBOURS).contains(&asked.k)
        && (1..=slot_bytes / 4).contains(&asked.dims)
        && asked.queries <= u32::MAX as usize / MOST_NEIGHBOURS;
    if !sound {
        return Err(other("a search that the GPU cannot do"));
    }
    Search::new(cuda, asked, (slot_bytes / (4 * asked.dims)).max(1))
}

/// Takes the vectors of a slot, and gives it back.
fn take(
    socket: RawFd,
    search: &mut Search<'_>,
    message: &Message,
    shared: &mut Shared,
) -> Result<(), Failure> {
    let (slot, count) = (message.slot as usize, message.a as usize);
    let floats = count.checked_mul(search.dims());
    let fits = floats.is_some_and(|floats| floats <= shared.slot_bytes() / 4);
    if slot >= SLOTS || !fits {
        return Err(other("a message about vectors that are not there"));
    }
    let bytes = shared.slot(slot);
    let vectors: &[f32] = bytemuck::cast_slice(&bytes[..count * search.dims() * 4]);
    if message.kind == kind::QUERIES {
        search.load(vectors)?;
    } else {
        let marks = search.offer(vectors, count)?;
        let marks: &[u8] = bytemuck::cast_slice(&marks);
        bytes[..marks.len()].copy_from_slice(marks);
    }
    let taken = Message {
        slot: message.slot,
        ..Message::of(kind::TAKEN)
    };
    reply(socket, taken, "")
}
