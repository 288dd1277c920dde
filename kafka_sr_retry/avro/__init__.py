"""From objects to Avro bytes; knows no registry."""
