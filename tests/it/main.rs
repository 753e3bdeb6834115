mod driver;
mod support;
