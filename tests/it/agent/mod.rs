//! Ring 3: the whole agent, as a process, spoken to by a client that behaves like the driver.

mod load;
mod mount;
mod process;
mod sockets;
mod store_files;
mod unread;
