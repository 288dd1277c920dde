"""Our Avro serializer beside Confluent's, before a registry each."""
