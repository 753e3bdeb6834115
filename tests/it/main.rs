mod audit;
mod telemetry;
