mod native;
mod render;
mod yaml;
