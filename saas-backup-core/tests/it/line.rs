mod examples;
mod generate;
mod properties;
mod refused;
mod streams;
mod values;
