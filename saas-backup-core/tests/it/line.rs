mod examples;
mod generate;
mod properties;
mod refused;
mod values;
