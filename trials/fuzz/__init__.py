"""Generated answers, schemas and objects against the client and the encoder.

    python -m trials.fuzz [--cases 40000] [--seed 1] [--only KIND] [--case NUMBER]

Each case is one number of one seed. It draws what it needs from these two alone, so it can be played again by itself.
"""
