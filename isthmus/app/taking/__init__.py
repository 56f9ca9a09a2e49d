"""Files taken in, by API, command line or replay alike: good rows used, bad rows named, the file kept as it came."""
