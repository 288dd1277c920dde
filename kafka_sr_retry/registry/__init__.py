"""Asks a Schema Registry; knows no Avro."""
