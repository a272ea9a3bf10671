mod examples;
mod refused;
mod values;
