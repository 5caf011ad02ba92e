"""Follow what the servers write: files in, `Line`s out, and the positions to go on from after a restart."""
