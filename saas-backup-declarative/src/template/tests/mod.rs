mod bounds;
mod oracle;
mod usual;
