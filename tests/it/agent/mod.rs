//! Ring 3: the whole agent, as a process, spoken to by a client that behaves like the driver.

mod cli;
mod codes;
mod deadline;
mod demo;
mod envelope;
mod flavours;
mod floods;
mod holders;
mod hostile;
mod large;
mod load;
mod mount;
mod process;
mod sockets;
mod store_files;
mod unread;
