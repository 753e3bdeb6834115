//! The ring agent: the whole agent, as a process, spoken to by a client that behaves like the driver.

#[cfg(feature = "vault")]
mod alerts;
mod authority;
mod canary;
#[cfg(feature = "vault")]
mod canary_vault;
mod cli;
mod codes;
#[cfg(feature = "vault")]
mod corpus;
mod deadline;
mod demo;
mod envelope;
#[cfg(feature = "vault")]
mod faults;
mod flavours;
mod floods;
mod holders;
mod hostile;
mod large;
mod load;
mod mount;
mod process;
mod reload;
mod sockets;
mod store_files;
mod unread;
