/* A schema as a flat program, which writes values in one pass over them.

   Its contract is that of the compiled Python function (compiler.py): it takes only values whose type it knows, and
   writes what fastavro writes. At anything else it writes nothing, and the whole value goes to `other`.

   Rules that keep it safe:
   - What may run Python (a dict with a foreign key's __eq__, a logical type's function, an attribute, a collection of
     garbage) happens only while all objects in use are held by references of our own.
   - A size that was written is compared with what was written behind it.
   - The nodes of a program refer to each other by numbers that are checked when it is made, and to nothing else.
   - A value is followed for DEEPEST levels, and its deeper ones count as the interpreter's own recursion, so the stack
     is bounded. An attribute may write a value of its own.
   - A program is out of the garbage collector's sight, and so of all Python code's, until it is checked.
   - Each interpreter has a module of its own. */

#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum op { NUL, BOOLEAN, INT, LONG, FLOAT, DOUBLE, STRING, BYTES, FIXED, ENUM, ARRAY, MAP, RECORD, UNION, LOGICAL,
          DATE, TIME, MOMENT, DECIMAL, UUID, OPS };

typedef struct {
    enum op op;
    int within;          /* a union: a "-type" key, a missing key, a tuple mean something there; of a union, an enum
                            is: its symbols are compared with whatever is given */
    Py_ssize_t count;    /* fields, branches, the size of a fixed */
    Py_ssize_t size;     /* of objects */
    PyObject **objects;  /* of a record the names, then the defaults; types of branches; symbols; of a logical type
                            its type, function and schema; of a moment its epoch, too */
    Py_ssize_t *nodes;   /* of fields, branches, items, values, the base type */
    Py_ssize_t *numbers; /* of branches in the union; of a decimal its precision and scale; of a moment whether it
                            counts milliseconds, and is local; of a time the former */
} Node;

enum name { HINT, INTEGER, ENCODE, ORDINAL, ZONE, DAYS, SECONDS, MICROSECONDS, HOUR, MINUTE, SECOND, MICROSECOND, NAMES };
static const char *const NAMED[] = {"-type", "int", "encode", "toordinal", "tzinfo", "days", "seconds", "microseconds",
                                    "hour", "minute", "second", "microsecond"};

typedef struct { /* of the module */
    PyTypeObject *program_type, *writer_type;
    PyTypeObject *datetime;
    PyObject *names[NAMES];
} State;

typedef struct {
    PyObject_HEAD
    Py_ssize_t count;
    Node *nodes;
    PyObject *are_fields; /* (type, names) -> whether objects of the type have these attributes */
    PyObject *module;
    State *state; /* of the module, which never clears it */
} Program;

typedef struct {
    char *data;
    Py_ssize_t used, size;
    int depth;
    char first[1024];
} Out;

#define DEEPEST 100 /* records, arrays and maps within one another */
#define SHALLOW 8   /* of them, whose stack is no more than that of other C functions */

/* PASSED: the type does not take the value, so fastavro looks at a union's next branch; elsewhere it is OTHER. */
enum { WRITTEN = 0, OTHER = 1, PASSED = 2, RAISED = -1 };

static int grow(Out *out, Py_ssize_t more)
{
    if (more > PY_SSIZE_T_MAX / 4 - out->used)
        return OTHER;
    Py_ssize_t size = (out->used + more) * 2;
    char *data = out->data == out->first ? PyMem_Malloc(size) : PyMem_Realloc(out->data, size);
    if (data == NULL)
        return OTHER;
    if (out->data == out->first)
        memcpy(data, out->first, out->used);
    out->data = data;
    out->size = size;
    return WRITTEN;
}

#define RESERVE(out, more) \
    if ((out)->size - (out)->used < (more) && grow((out), (more)) != WRITTEN) return OTHER

static inline int put(Out *out, const char *bytes, Py_ssize_t size)
{
    RESERVE(out, size);
    memcpy(out->data + out->used, bytes, size);
    out->used += size;
    return WRITTEN;
}

#define MOST_BYTES 10 /* of an integer */

static inline int put_long(Out *out, int64_t number)
{
    uint64_t rest = ((uint64_t)number << 1) ^ (number < 0 ? ~(uint64_t)0 : 0);
    RESERVE(out, MOST_BYTES);
    char *at = out->data + out->used;
    while (rest > 127) {
        *at++ = (char)(rest | 128);
        rest >>= 7;
    }
    *at++ = (char)rest;
    out->used = at - out->data;
    return WRITTEN;
}

static inline int put_sized(Out *out, const char *bytes, Py_ssize_t size)
{
    RESERVE(out, size + MOST_BYTES);
    put_long(out, size);
    return put(out, bytes, size);
}

static inline int put_double(Out *out, double number)
{
    uint64_t bits;
    char *at;
    memcpy(&bits, &number, 8);
    RESERVE(out, 8);
    at = out->data + out->used;
    for (int i = 0; i < 8; i++) /* compilers make one move of it where they can */
        at[i] = (char)(bits >> 8 * i);
    out->used += 8;
    return WRITTEN;
}

static int put_float(Out *out, double number)
{
    float small = (float)number;
    uint32_t bits;
    if (isinf(small) && !isinf(number)) /* too large for it */
        return OTHER;
    memcpy(&bits, &small, 4);
    RESERVE(out, 4);
    for (int i = 0; i < 4; i++)
        out->data[out->used++] = (char)(bits >> 8 * i);
    return WRITTEN;
}

/* Whether fastavro's comparisons with a value of a class of somebody's are those of the class beneath. */
static int compares_as(PyObject *value, PyTypeObject *beneath)
{
    return PyType_GetSlot(Py_TYPE(value), Py_tp_richcompare) == PyType_GetSlot(beneath, Py_tp_richcompare);
}

static int is_integer(PyObject *value)
{
    return PyLong_Check(value) && !PyBool_Check(value) && compares_as(value, &PyLong_Type);
}

static inline int write_number(Out *out, PyObject *value, int is_int)
{
    int overflow;
    if (Py_TYPE(value) != &PyLong_Type && !is_integer(value))
        return OTHER;
    int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || (is_int && (number < INT32_MIN || number > INT32_MAX)))
        return PASSED;
    return put_long(out, number);
}

/* Whether a float of a class of somebody's stands for what it holds: fastavro writes the one here, and the other there. */
static int is_real(PyObject *value)
{
    PyObject *given = PyFloat_Check(value) ? PyNumber_Float(value) : NULL;
    if (given == NULL)
        return 0;
    double one = PyFloat_AsDouble(given), held = PyFloat_AsDouble(value);
    Py_DECREF(given);
    return memcmp(&one, &held, sizeof one) == 0;
}

static inline int write_real(Out *out, PyObject *value, int is_float)
{
    if (Py_TYPE(value) != &PyFloat_Type && Py_TYPE(value) != &PyLong_Type && !is_real(value))
        return PyErr_Occurred() ? RAISED : OTHER;
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred())
        return RAISED; /* an integer too large for it */
    return is_float ? put_float(out, number) : put_double(out, number);
}

/* Of a class of somebody's, by its own `encode`, as fastavro has it. */
static int write_encoded(Out *out, const Program *program, PyObject *value)
{
    if (!PyUnicode_Check(value) || !compares_as(value, &PyUnicode_Type))
        return OTHER;
    PyObject *bytes = PyObject_CallMethodObjArgs(value, program->state->names[ENCODE], NULL);
    if (bytes == NULL)
        return RAISED;
    int is_bytes = Py_TYPE(bytes) == &PyBytes_Type;
    int done = is_bytes ? put_sized(out, PyBytes_AsString(bytes), PyBytes_Size(bytes)) : OTHER;
    Py_DECREF(bytes);
    return done;
}

static inline int write_string(Out *out, const Program *program, PyObject *value)
{
    Py_ssize_t size;
    if (Py_TYPE(value) != &PyUnicode_Type)
        return write_encoded(out, program, value);
    const char *text = PyUnicode_AsUTF8AndSize(value, &size);
    return text == NULL ? RAISED : put_sized(out, text, size);
}

static int write_symbol(Out *out, const Node *node, PyObject *value)
{
    if (Py_TYPE(value) != &PyUnicode_Type && !(PyUnicode_Check(value) && compares_as(value, &PyUnicode_Type)))
        return OTHER;
    PyObject *text = PyUnicode_FromObject(value); /* an exact one, whose hash is its own */
    if (text == NULL)
        return RAISED;
    PyObject *index = PyDict_GetItemWithError(node->objects[0], text);
    int done = index != NULL ? write_number(out, index, 1) : PyErr_Occurred() ? RAISED : PASSED;
    Py_DECREF(text);
    return done;
}

static int write_node(Out *out, const Program *program, Py_ssize_t at, PyObject *value);

/* Whether writing the node's values runs no Python, unless it raises (an exception is an object, and to make one may
   collect garbage), or a string or float is of a class of somebody's. */
static inline int is_plain(const Node *node) { return node->op < ARRAY; }

/* A value of a list or dict, which holds it no longer where code of somebody's has run meanwhile. */
static inline int write_held(Out *out, const Program *program, Py_ssize_t at, PyObject *value)
{
    const enum op op = program->nodes[at].op;
    if (Py_TYPE(value) == &PyLong_Type && (op == LONG || op == INT))
        return write_number(out, value, op == INT); /* which runs none */
    if (Py_TYPE(value) == &PyFloat_Type && op == DOUBLE)
        return put_double(out, PyFloat_AsDouble(value));
    Py_INCREF(value);
    int done = op == STRING ? write_string(out, program, value) : write_node(out, program, at, value);
    Py_DECREF(value);
    return done;
}

static int write_array(Out *out, const Program *program, const Node *node, PyObject *list)
{
    if (Py_TYPE(list) == &PyTuple_Type && !node->within) {
        PyObject *items = PySequence_List(list);
        int done = items == NULL ? RAISED : write_array(out, program, node, items);
        Py_XDECREF(items);
        return done;
    }
    if (Py_TYPE(list) != &PyList_Type)
        return OTHER;
    Py_ssize_t size = PyList_Size(list), inner = node->nodes[0];
    int done = WRITTEN;
    if (size == 0)
        return put(out, "", 1);
    if (put_long(out, size))
        return OTHER;
    for (Py_ssize_t i = 0; i < size && done == WRITTEN; i++) {
        PyObject *item = PyList_GetItem(list, i);
        done = item == NULL ? RAISED : write_held(out, program, inner, item); /* NULL: it has got shorter */
    }
    return done != WRITTEN ? done : PyList_Size(list) == size ? put(out, "", 1) : OTHER;
}

static int write_map(Out *out, const Program *program, const Node *node, PyObject *dict)
{
    if (Py_TYPE(dict) != &PyDict_Type)
        return OTHER;
    if (node->within) {
        int found = PyDict_Contains(dict, program->state->names[HINT]);
        if (found)
            return found < 0 ? RAISED : OTHER;
    }
    int plain = is_plain(&program->nodes[node->nodes[0]]), done = WRITTEN;
    PyObject *own = plain ? Py_NewRef(dict) : PyDict_Copy(dict), *key, *item;
    if (own == NULL)
        return RAISED;
    Py_ssize_t size = PyDict_Size(own), place = 0, left = size;
    if (size > 0 && put_long(out, size))
        done = OTHER;
    while (done == WRITTEN && PyDict_Next(own, &place, &key, &item)) {
        Py_INCREF(key);
        Py_INCREF(item);
        done = write_string(out, program, key);
        if (done == WRITTEN)
            done = write_node(out, program, node->nodes[0], item);
        Py_DECREF(key);
        Py_DECREF(item);
        left--;
    }
    Py_DECREF(own);
    return done != WRITTEN ? done : left != 0 ? OTHER : put(out, "", 1);
}

/* Whether classes of this metaclass are told apart by what they are, and not by code of somebody's. */
static int is_by_identity(PyTypeObject *metaclass)
{
    return metaclass == &PyType_Type ||
           (PyType_GetSlot(metaclass, Py_tp_hash) == PyType_GetSlot(&PyType_Type, Py_tp_hash) &&
            PyType_GetSlot(metaclass, Py_tp_richcompare) == PyType_GetSlot(&PyType_Type, Py_tp_richcompare));
}

/* 1, 0, or RAISED: whether all objects of a class have the record's fields as attributes. */
static int has_fields(const Program *program, const Node *node, PyObject *type)
{
    PyObject *known = node->objects[2 * node->count], *names = node->objects[2 * node->count + 1];
    PyObject *found = PyDict_GetItemWithError(known, type);
    if (found != NULL || PyErr_Occurred())
        return found != NULL ? found == Py_True : RAISED;
    found = PyObject_CallFunctionObjArgs(program->are_fields, type, names, NULL);
    if (found == NULL)
        return RAISED;
    if (PyDict_Size(known) >= 64) /* classes may be made without end */
        PyDict_Clear(known);
    int has_all = PyDict_SetItem(known, type, found) ? RAISED : found == Py_True;
    Py_DECREF(found);
    return has_all;
}

static int write_attributes(Out *out, const Program *program, const Node *node, PyObject *value)
{
    PyObject *type = (PyObject *)Py_TYPE(value);
    if (!is_by_identity(Py_TYPE(type)))
        return OTHER;
    Py_INCREF(type); /* an object's class may be changed */
    int has_all = has_fields(program, node, type);
    Py_DECREF(type);
    if (has_all != 1)
        return has_all == 0 ? OTHER : RAISED;
    for (Py_ssize_t i = 0; i < node->count; i++) {
        PyObject *item = PyObject_GetAttr(value, node->objects[i]);
        if (item == NULL)
            return RAISED;
        int done = write_node(out, program, node->nodes[i], item);
        Py_DECREF(item);
        if (done != WRITTEN)
            return done;
    }
    return WRITTEN;
}

static int write_record(Out *out, const Program *program, const Node *node, PyObject *dict)
{
    if (Py_TYPE(dict) != &PyDict_Type)
        return write_attributes(out, program, node, dict);
    if (node->within) {
        int found = PyDict_Contains(dict, program->state->names[HINT]);
        if (found)
            return found < 0 ? RAISED : OTHER;
    }
    Py_ssize_t place = 0;
    for (Py_ssize_t i = 0; i < node->count; i++) {
        PyObject *name = node->objects[i], *key, *item;
        /* most dicts have their keys in the schema's order, and its very strings */
        if (place < 0 || !PyDict_Next(dict, &place, &key, &item) || key != name) {
            place = -1;
            item = PyDict_GetItemWithError(dict, name);
            if (item == NULL) {
                if (PyErr_Occurred())
                    return RAISED;
                item = node->objects[node->count + i];
                if (node->within || item == Py_Ellipsis)
                    return OTHER;
            }
        }
        int done = write_held(out, program, node->nodes[i], item);
        if (done != WRITTEN)
            return done;
    }
    return WRITTEN;
}

/* The record that has all keys of a dict: if that is written, it fits, and no other has more of them. */
static Py_ssize_t best_record(const Program *program, const Node *node, Py_ssize_t first, PyObject *dict)
{
    Py_ssize_t best = RAISED, most = -1;
    for (Py_ssize_t i = first; i < node->count && node->objects[i] == node->objects[first]; i++) {
        const Node *record = &program->nodes[node->nodes[i]];
        Py_ssize_t fields = 0;
        for (Py_ssize_t j = 0; record->op == RECORD && j < record->count; j++) {
            int found = PyDict_Contains(dict, record->objects[j]);
            if (found < 0)
                return RAISED;
            fields += found;
        }
        if (fields > most) {
            best = i;
            most = fields;
        }
    }
    return most == PyDict_Size(dict) ? best : node->count;
}

static int write_branch(Out *out, const Program *program, const Node *node, PyObject *value, PyObject *type)
{
    const Py_ssize_t used = out->used;
    int done = PASSED;
    for (Py_ssize_t i = 0; i < node->count && done == PASSED; i++) {
        if (node->objects[i] != type)
            continue;
        if (type == (PyObject *)&PyDict_Type && i + 1 < node->count && node->objects[i + 1] == type &&
            (i = best_record(program, node, i, value)) < 0)
            return RAISED;
        if (i == node->count)
            return OTHER;
        out->used = used;
        if (put_long(out, node->numbers[i]))
            return OTHER;
        done = write_node(out, program, node->nodes[i], value);
        if (done == PASSED && !is_plain(&program->nodes[node->nodes[i]]))
            return OTHER; /* something in it has not fitted */
    }
    return done;
}

/* The branches of the value's exact type; of a type that its class is one of; or None's: whatever has attributes. */
static int write_union(Out *out, const Program *program, const Node *node, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    int done = write_branch(out, program, node, value, (PyObject *)type);
    if (done == PASSED) {
        type = PyUnicode_Check(value)                            ? &PyUnicode_Type
               : is_integer(value)                               ? &PyLong_Type
               : node->within                                    ? NULL
               : PyFloat_Check(value)                            ? &PyFloat_Type
               : PyType_IsSubtype(type, program->state->datetime) ? program->state->datetime
                                                                 : NULL;
        done = write_branch(out, program, node, value, type == NULL ? Py_None : (PyObject *)type);
    }
    return done;
}

static int write_logical(Out *out, const Program *program, const Node *node, PyObject *value)
{
    PyObject *type = (PyObject *)Py_TYPE(value), *datetime = (PyObject *)program->state->datetime;
    if (type != node->objects[0] &&
        !(node->objects[0] == datetime && PyType_IsSubtype(Py_TYPE(value), program->state->datetime)))
        return write_node(out, program, node->nodes[0], value);
    PyObject *base = PyObject_CallFunctionObjArgs(node->objects[1], value, node->objects[2], NULL);
    if (base == NULL)
        return RAISED;
    int done = write_node(out, program, node->nodes[0], base);
    Py_DECREF(base);
    return done;
}

/* An attribute of an object of datetime's, whose number is small; an error is left for the last of them. */
static inline uint64_t number_of(const Program *program, PyObject *object, enum name name)
{
    PyObject *number = PyErr_Occurred() ? NULL : PyObject_GetAttr(object, program->state->names[name]);
    uint64_t found = number == NULL ? 0 : (uint64_t)PyLong_AsLongLong(number);
    Py_XDECREF(number);
    return found;
}

static int write_date(Out *out, const Program *program, const Node *node, PyObject *value)
{
    if ((PyObject *)Py_TYPE(value) != node->objects[0])
        return write_logical(out, program, node, value);
    PyObject *day = PyObject_CallMethodObjArgs(value, program->state->names[ORDINAL], NULL);
    uint64_t number = day == NULL ? 0 : (uint64_t)PyLong_AsLongLong(day);
    Py_XDECREF(day);
    return PyErr_Occurred() ? RAISED : put_long(out, (int64_t)(number - 719163)); /* of 1970-01-01 */
}

static int write_time(Out *out, const Program *program, const Node *node, PyObject *value)
{
    if ((PyObject *)Py_TYPE(value) != node->objects[0])
        return write_logical(out, program, node, value);
    uint64_t seconds = number_of(program, value, HOUR) * 3600 + number_of(program, value, MINUTE) * 60 +
                       number_of(program, value, SECOND);
    uint64_t micros = seconds * 1000000 + number_of(program, value, MICROSECOND);
    return PyErr_Occurred() ? RAISED : put_long(out, (int64_t)(node->numbers[0] ? micros / 1000 : micros));
}

/* fastavro takes the time of the process's own zone for one without; a local one it takes as it stands. */
static int write_moment(Out *out, const Program *program, const Node *node, PyObject *value)
{
    if ((PyObject *)Py_TYPE(value) != node->objects[0])
        return write_logical(out, program, node, value);
    PyObject *zone = PyObject_GetAttr(value, program->state->names[ZONE]);
    if (zone == NULL)
        return RAISED;
    int is_local = zone == Py_None;
    Py_DECREF(zone);
    if (is_local != (node->numbers[1] != 0))
        return write_logical(out, program, node, value);
    PyObject *since = PyNumber_Subtract(value, node->objects[3]);
    if (since == NULL)
        return RAISED;
    uint64_t seconds = number_of(program, since, DAYS) * 86400 + number_of(program, since, SECONDS);
    uint64_t micros = number_of(program, since, MICROSECONDS);
    Py_DECREF(since);
    seconds = node->numbers[0] ? seconds * 1000 + micros / 1000 : seconds * 1000000 + micros;
    return PyErr_Occurred() ? RAISED : put_long(out, (int64_t)seconds);
}

/* The unscaled number in as many bytes as fastavro gives it, or in those of a fixed. */
static int write_decimal(Out *out, const Program *program, const Node *node, PyObject *value)
{
    if ((PyObject *)Py_TYPE(value) != node->objects[0])
        return write_node(out, program, node->nodes[0], value);
    PyObject *text = PyObject_Str(value);
    Py_ssize_t size, exponent = node->numbers[1], digits = 0;
    const char *at = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, &size);
    int done = at == NULL ? RAISED : WRITTEN, negative = at != NULL && *at == '-', point = 0;
    uint64_t number = 0;
    if (negative)
        at++;
    for (; done == WRITTEN && *at; at++) {
        if (*at == '.' && !point)
            point = 1;
        else if (*at < '0' || *at > '9' || digits > 17)
            done = OTHER; /* an exponent, NaN, or more than 64 bits hold: fastavro writes it, or a misfit is told */
        else {
            number = number * 10 + (uint64_t)(*at - '0');
            digits += number > 0;
            exponent -= point;
        }
    }
    Py_XDECREF(text);
    if (exponent < 0 || (negative && !number) || (digits ? digits : 1) > node->numbers[0])
        done = done == WRITTEN ? OTHER : done; /* too precise, or -0, for which fastavro has its own way */
    for (; done == WRITTEN && exponent > 0 && number; exponent--, digits++) {
        if (digits > 17)
            done = OTHER;
        number *= 10;
    }
    if (done != WRITTEN)
        return done;
    int bytes = 1;
    while (bytes < 8 && number >> (8 * bytes - 1))
        bytes++;
    const Node *base = &program->nodes[node->nodes[0]];
    if (base->op == FIXED && base->count < bytes)
        return OTHER;
    Py_ssize_t length = base->op == FIXED ? base->count : bytes;
    if (base->op == BYTES && put_long(out, length))
        return OTHER;
    RESERVE(out, length);
    int64_t whole = negative ? -(int64_t)number : (int64_t)number;
    for (Py_ssize_t i = length - 1; i >= 0; i--)
        out->data[out->used++] = (char)(i > 7 ? (whole < 0 ? -1 : 0) : whole >> 8 * i);
    return WRITTEN;
}

static int write_uuid(Out *out, const Program *program, const Node *node, PyObject *value)
{
    if ((PyObject *)Py_TYPE(value) != node->objects[0])
        return write_node(out, program, node->nodes[0], value);
    PyObject *number = PyObject_GetAttr(value, program->state->names[INTEGER]);
    PyObject *hex = number == NULL ? NULL : PyNumber_ToBase(number, 16);
    Py_ssize_t size = 0;
    const char *digits = hex == NULL ? NULL : PyUnicode_AsUTF8AndSize(hex, &size);
    int done = digits == NULL ? RAISED : OTHER;
    if (digits != NULL && size > 2 && size <= 34 && digits[0] == '0') {
        char text[36];
        Py_ssize_t from = size - 1;
        for (int to = 35; to >= 0; to--)
            text[to] = to == 8 || to == 13 || to == 18 || to == 23 ? '-' : from > 1 ? digits[from--] : '0';
        done = put_sized(out, text, 36);
    }
    Py_XDECREF(number);
    Py_XDECREF(hex);
    return done;
}

static int write_holder(Out *out, const Program *program, const Node *node, PyObject *value)
{
    int is_deep = out->depth >= SHALLOW;
    if (out->depth == DEEPEST)
        return OTHER;
    if (is_deep && Py_EnterRecursiveCall(" while a value is written"))
        return RAISED;
    out->depth++;
    int done = node->op == ARRAY  ? write_array(out, program, node, value)
               : node->op == MAP ? write_map(out, program, node, value)
                                 : write_record(out, program, node, value);
    out->depth--;
    if (is_deep)
        Py_LeaveRecursiveCall();
    return done;
}

static int write_node(Out *out, const Program *program, Py_ssize_t at, PyObject *value)
{
    const Node *node = &program->nodes[at];
    switch (node->op) {
    case NUL:
        return value == Py_None ? WRITTEN : OTHER;
    case BOOLEAN:
        return value == Py_True ? put(out, "\1", 1) : value == Py_False ? put(out, "", 1) : OTHER;
    case INT:
        return write_number(out, value, 1);
    case LONG:
        return write_number(out, value, 0);
    case FLOAT:
        return write_real(out, value, 1);
    case DOUBLE:
        return write_real(out, value, 0);
    case STRING:
        return write_string(out, program, value);
    case BYTES:
        if (Py_TYPE(value) != &PyBytes_Type)
            return OTHER;
        return put_sized(out, PyBytes_AsString(value), PyBytes_Size(value));
    case FIXED:
        if (Py_TYPE(value) != &PyBytes_Type)
            return OTHER;
        if (PyBytes_Size(value) != node->count)
            return PASSED;
        return put(out, PyBytes_AsString(value), node->count);
    case ENUM:
        return write_symbol(out, node, value);
    case ARRAY:
    case MAP:
    case RECORD:
        return write_holder(out, program, node, value);
    case UNION:
        return write_union(out, program, node, value);
    case LOGICAL:
        return write_logical(out, program, node, value);
    case DATE:
        return write_date(out, program, node, value);
    case TIME:
        return write_time(out, program, node, value);
    case MOMENT:
        return write_moment(out, program, node, value);
    case DECIMAL:
        return write_decimal(out, program, node, value);
    case UUID:
        return write_uuid(out, program, node, value);
    default:
        return OTHER;
    }
}

/* -- a function that writes: a program with a prefix, and who takes what the program does not ------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *program, *prefix, *other;
} Writer;

/* The whole value is another's; what foreign code has raised meanwhile is not lost. */
static PyObject *leave(Writer *writer, PyObject *value)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (type != NULL) {
        PyObject *at_fault[] = {PyExc_ArithmeticError, PyExc_AttributeError, PyExc_LookupError,
                                PyExc_RecursionError, PyExc_TypeError, PyExc_ValueError};
        int expected = 0;
        for (size_t i = 0; i < sizeof at_fault / sizeof *at_fault; i++)
            expected |= PyErr_GivenExceptionMatches(type, at_fault[i]);
        if (expected) {
            Py_CLEAR(type);
            Py_CLEAR(error);
            Py_CLEAR(traceback);
        } else if (!PyErr_GivenExceptionMatches(type, PyExc_Exception)) {
            PyErr_Restore(type, error, traceback);
            return NULL;
        }
    }
    PyObject *message = PyObject_CallFunctionObjArgs(writer->other, value, writer->prefix, NULL);
    if (type == NULL || message == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(traceback);
        return message;
    }
    Py_DECREF(message);
    PyErr_Restore(type, error, traceback);
    return NULL;
}

static PyObject *writer_write(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Writer *writer = (Writer *)self;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write() takes a value and a context");
        return NULL;
    }
    Out out;
    out.data = out.first;
    out.size = sizeof out.first;
    out.used = out.depth = 0;
    int done = put(&out, PyBytes_AsString(writer->prefix), PyBytes_Size(writer->prefix));
    if (done == WRITTEN)
        done = write_node(&out, (Program *)writer->program, 0, args[0]);
    PyObject *message = done == WRITTEN ? PyBytes_FromStringAndSize(out.data, out.used) : NULL;
    if (out.data != out.first)
        PyMem_Free(out.data);
    return done == WRITTEN ? message : leave(writer, args[0]);
}

static int writer_traverse(PyObject *self, visitproc visit, void *arg)
{
    Writer *writer = (Writer *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(writer->program);
    Py_VISIT(writer->prefix);
    Py_VISIT(writer->other);
    return 0;
}

/* It may still be called meanwhile: it then raises, as to call NULL does. */
static int writer_clear(PyObject *self)
{
    Py_CLEAR(((Writer *)self)->other);
    return 0;
}

static void writer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Writer *writer = (Writer *)self;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(writer->program);
    Py_CLEAR(writer->prefix);
    Py_CLEAR(writer->other);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyType_Slot writer_slots[] = {
    {Py_tp_traverse, writer_traverse},
    {Py_tp_clear, writer_clear},
    {Py_tp_dealloc, writer_dealloc},
    {0, NULL},
};
static PyType_Spec writer_spec = {
    "kafka_sr_retry.avro._native.Writer", sizeof(Writer), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    writer_slots};
static PyMethodDef writer_def = {"write", (PyCFunction)(void (*)(void))writer_write, METH_FASTCALL, NULL};

/* -- a program, which is checked while it is made -------------------------------------------------------------- */

static int fail(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return -1;
}

static int take_numbers(PyObject *numbers, Py_ssize_t **into, Py_ssize_t below)
{
    Py_ssize_t count = PyTuple_Size(numbers);
    *into = PyMem_Malloc((count + 1) * sizeof **into);
    if (*into == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t number = PyLong_AsSsize_t(PyTuple_GetItem(numbers, i));
        if (number == -1 && PyErr_Occurred())
            return -1;
        if (number < 0 || number >= below)
            return fail("a number that is none of the program's");
        (*into)[i] = number;
    }
    return 0;
}

static int take(Program *program, Py_ssize_t at, PyObject *given)
{
    Node *node = &program->nodes[at];
    int op, within;
    PyObject *objects, *nodes, *numbers;
    if (!PyTuple_Check(given))
        return fail("a node is a tuple");
    if (!PyArg_ParseTuple(given, "ipnO!O!O!", &op, &within, &node->count, &PyTuple_Type, &objects, &PyTuple_Type,
                          &nodes, &PyTuple_Type, &numbers))
        return -1;
    if (op < 0 || op >= OPS)
        return fail("no such type");
    Py_ssize_t names = PyTuple_Size(objects), inner = PyTuple_Size(nodes), branches = PyTuple_Size(numbers);
    Py_ssize_t wanted_names = 0, wanted_inner = 0, wanted_branches = 0;
    if (node->count < 0 || node->count > PY_SSIZE_T_MAX / 16)
        return fail("a node of another size");
    if (op == RECORD || op == UNION)
        wanted_names = wanted_inner = node->count;
    if (op == RECORD)
        wanted_names *= 2;
    if (op == UNION)
        wanted_branches = node->count;
    if (op == ARRAY || op == MAP || op >= LOGICAL)
        wanted_inner = 1;
    if (op >= LOGICAL)
        wanted_names = 3 + (op == MOMENT);
    if (op == DECIMAL || op == MOMENT || op == TIME)
        wanted_branches = 2 - (op == TIME);
    if (op == ENUM)
        wanted_names = 1;
    if (names != wanted_names || inner != wanted_inner || branches != wanted_branches)
        return fail("a node of another size");
    node->objects = PyMem_Calloc(names + 2, sizeof *node->objects);
    if (node->objects == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < names; i++) {
        PyObject *each = PyTuple_GetItem(objects, i);
        int is_name = op == RECORD && i < node->count;
        if (is_name && Py_TYPE(each) != &PyUnicode_Type)
            return fail("a field's name is a string");
        if (op == ENUM && Py_TYPE(each) != &PyDict_Type)
            return fail("symbols are a dict");
        each = op == ENUM ? PyDict_Copy(each) : Py_NewRef(each);
        if (each == NULL)
            return -1;
        PyObject *symbol, *index;
        for (Py_ssize_t place = 0; op == ENUM && PyDict_Next(each, &place, &symbol, &index);)
            if (Py_TYPE(symbol) != &PyUnicode_Type || Py_TYPE(index) != &PyLong_Type) {
                Py_DECREF(each);
                return fail("a symbol is a string, with a number");
            }
        if (is_name)
            PyUnicode_InternInPlace(&each);
        node->objects[node->size++] = each;
    }
    if (op == RECORD) {
        PyObject *cache = PyDict_New(), *own = PyTuple_GetSlice(objects, 0, node->count);
        node->objects[node->size++] = cache;
        node->objects[node->size++] = own;
        if (cache == NULL || own == NULL)
            return -1;
    }
    node->op = (enum op)op;
    node->within = within;
    return take_numbers(nodes, &node->nodes, program->count) || take_numbers(numbers, &node->numbers, 1 << 20) ? -1 : 0;
}

/* What one node may hold, once all are known: without a record no way leads back, or far down. */
static int check(const Program *program, Py_ssize_t at)
{
    const Node *node = &program->nodes[at];
    Py_ssize_t inner = node->op == RECORD || node->op == UNION ? node->count : node->op >= ARRAY ? 1 : 0;
    for (Py_ssize_t i = 0; i < inner; i++) {
        enum op op = program->nodes[node->nodes[i]].op;
        if (node->op == UNION && op == UNION)
            return fail("a union in a union");
        if (node->op >= LOGICAL && op >= ARRAY)
            return fail("a logical type of what holds others");
        if (node->op == DECIMAL && op != BYTES && op != FIXED)
            return fail("a decimal that is no bytes");
        if (node->op == UUID && op != STRING)
            return fail("a uuid that is no string");
    }
    return 0;
}

static void program_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Program *program = (Program *)self;
    PyObject_GC_UnTrack(self);
    for (Py_ssize_t i = 0; program->nodes != NULL && i < program->count; i++) {
        Node *node = &program->nodes[i];
        for (Py_ssize_t j = 0; j < node->size; j++)
            Py_XDECREF(node->objects[j]);
        PyMem_Free(node->objects);
        PyMem_Free(node->nodes);
        PyMem_Free(node->numbers);
    }
    PyMem_Free(program->nodes);
    Py_XDECREF(program->are_fields);
    Py_XDECREF(program->module);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int program_traverse(PyObject *self, visitproc visit, void *arg)
{
    Program *program = (Program *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(program->are_fields);
    Py_VISIT(program->module);
    for (Py_ssize_t i = 0; program->nodes != NULL && i < program->count; i++)
        for (Py_ssize_t j = 0; j < program->nodes[i].size; j++)
            Py_VISIT(program->nodes[i].objects[j]);
    return 0;
}

static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "", NULL};
    PyObject *given, *are_fields, *module = PyType_GetModule(type);
    if (module == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O!O:Program", names, &PyTuple_Type, &given, &are_fields))
        return NULL;
    Program *program = (Program *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (program == NULL)
        return NULL;
    PyObject_GC_UnTrack(program);
    program->are_fields = Py_NewRef(are_fields);
    program->module = Py_NewRef(module);
    program->state = PyModule_GetState(module);
    program->count = PyTuple_Size(given);
    program->nodes = PyMem_Calloc(program->count + 1, sizeof(Node));
    int failed = program->nodes == NULL && (PyErr_NoMemory(), 1);
    if (!failed && program->count == 0)
        failed = fail("a program without a node");
    for (Py_ssize_t i = 0; !failed && i < program->count; i++)
        failed = take(program, i, PyTuple_GetItem(given, i));
    for (Py_ssize_t i = 0; !failed && i < program->count; i++)
        failed = check(program, i);
    if (failed) {
        Py_DECREF(program);
        return NULL;
    }
    PyObject_GC_Track(program);
    return (PyObject *)program;
}

static PyObject *program_writer(PyObject *self, PyObject *args)
{
    PyObject *prefix, *other;
    if (!PyArg_ParseTuple(args, "SO:writer", &prefix, &other))
        return NULL;
    PyTypeObject *type = ((Program *)self)->state->writer_type;
    Writer *writer = (Writer *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (writer == NULL)
        return NULL;
    writer->program = Py_NewRef(self);
    writer->prefix = Py_NewRef(prefix);
    writer->other = Py_NewRef(other);
    PyObject *write = PyCFunction_New(&writer_def, (PyObject *)writer);
    Py_DECREF(writer);
    return write;
}

static PyMethodDef program_methods[] = {
    {"writer", program_writer, METH_VARARGS, "(prefix, other) -> the function that writes the prefix and a value."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot program_slots[] = {
    {Py_tp_doc, "A schema, as a flat program: a tuple of (op, within, count, objects, nodes, numbers)."},
    {Py_tp_new, program_new},
    {Py_tp_dealloc, program_dealloc},
    {Py_tp_traverse, program_traverse},
    {Py_tp_methods, program_methods},
    {0, NULL},
};
static PyType_Spec program_spec = {"kafka_sr_retry.avro._native.Program", sizeof(Program), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE, program_slots};

/* -- the module, one for each interpreter ---------------------------------------------------------------------- */

static int module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    for (int i = 0; i < NAMES; i++)
        if ((state->names[i] = PyUnicode_InternFromString(NAMED[i])) == NULL)
            return -1;
    PyObject *dates = PyImport_ImportModule("datetime");
    state->datetime = dates == NULL ? NULL : (PyTypeObject *)PyObject_GetAttrString(dates, "datetime");
    Py_XDECREF(dates);
    if (state->datetime == NULL)
        return -1;
    if (!PyType_Check(state->datetime)) {
        PyErr_SetString(PyExc_TypeError, "datetime.datetime is no type");
        return -1;
    }
    state->writer_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &writer_spec, NULL);
    state->program_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &program_spec, NULL);
    if (state->writer_type == NULL || state->program_type == NULL)
        return -1;
    return PyModule_AddType(module, state->program_type);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->program_type);
    Py_VISIT(state->writer_type);
    Py_VISIT(state->datetime);
    return 0;
}

/* The state has no m_clear: programs use it as long as they live, and each holds the module. */
static void module_free(void *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->program_type);
    Py_CLEAR(state->writer_type);
    Py_CLEAR(state->datetime);
    for (int i = 0; i < NAMES; i++)
        Py_CLEAR(state->names[i]);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};
static PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_size = sizeof(State), .m_slots = module_slots,
    .m_traverse = module_traverse, .m_free = module_free};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module); }
