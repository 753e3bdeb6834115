mod native;
mod yaml;
