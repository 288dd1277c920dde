"""Real producers, a real registry and a real Kafka, and between them everything that goes wrong on a wire.

::

    producers --- Toxiproxy --- registry (Apicurio on an H2 file)
        |                          ^
        +------- Toxiproxy --- Kafka | an independent reader asks it directly, afterwards

``schedule`` what goes wrong and when; ``stand`` the parts, and how they are spoilt; ``messages`` what is sent;
``producers`` who sends it; ``reader`` what came; ``judge`` whether that is right; ``footprint`` what was left behind.
"""
