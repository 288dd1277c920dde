"""Is a credential told anywhere? Each kind of them, marked with a word, over all faults; the word is searched for.

    python -m trials.secrets [--seed 1] [--share 10] [--only TEXT] [--verbose] [--processes 4]

credentials.py   the kinds, and the forms of a credential
faults.py        what goes wrong, and what a server repeats of a request
places.py        where something could be told
searching.py     finds a word in all its forms
settings.py      configurations that cannot work
playing.py       the cases, and what a process plays of them
command.py       ``kafka-sr-retry check`` and ``source``
"""
