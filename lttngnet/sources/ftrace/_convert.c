/*
 * Records of the ring buffer become CTF events where they lie: `lttngnet.sources.ftrace.convert` says how, and
 * does the same, byte by byte. Nothing is allocated here but the list of what is to be cut out.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { LARGE = 0, PADDING = 29, TIME_EXTEND = 30, KIND_MASK = 31, DELTA_SHIFT = 5, STAMP_SHIFT = 27 };
enum { DYNAMIC = 0, EXTENDED = 0xFFFF, IDS = 1 << 16 };
#define STAMP_EPOCH (UINT64_C(0x1F) << 59)

struct tables {
	const uint16_t *words, *last_words, *slacks;	/* of EventClasses */
	PyObject *resolve;	/* its method, for what they do not settle */
};

struct run {
	uint8_t *records;
	size_t words;
	PyObject *view;	/* the same memory, as Python sees it */
};

static uint32_t word_at(const struct run *run, size_t word)
{
	uint32_t value;

	memcpy(&value, run->records + 4 * word, sizeof(value));
	return value;
}

static void put_compact_header(const struct run *run, size_t word, uint32_t id, uint64_t time)
{
	uint32_t low = (uint32_t) time, first = id | low << 16;
	uint16_t second = (uint16_t) (low >> 16);

	memcpy(run->records + 4 * word, &first, sizeof(first));
	memcpy(run->records + 4 * word + 4, &second, sizeof(second));
}

static void put_extended_header(const struct run *run, size_t word, uint32_t id, uint64_t time)
{
	uint8_t *header = run->records + 4 * word;
	uint16_t mark = EXTENDED;

	memcpy(header, &mark, sizeof(mark));
	memcpy(header + 2, &id, sizeof(id));
	memcpy(header + 6, &time, sizeof(time));
}

/* Return the id to write for a record of so many data words, from `first` on; -1 with an exception. */
static int32_t resolve(const struct run *run, const struct tables *tables, size_t first, size_t length)
{
	uint32_t id = word_at(run, first) & 0xFFFF;
	uint16_t expected = tables->words[id], last = tables->last_words[id];
	PyObject *answer;
	long number;

	if (expected == length)
		return (int32_t) id;
	if (expected == DYNAMIC && length > last) {
		uint32_t place = word_at(run, first + last);
		uint32_t end = (place & 0xFFFF) + (place >> 16) + tables->slacks[id];

		if ((end + 3) / 4 == length)
			return (int32_t) id;
	}
	answer = PyObject_CallFunction(tables->resolve, "InOn", id, (Py_ssize_t) length, run->view, (Py_ssize_t) first);
	if (!answer)
		return -1;
	number = PyLong_AsLong(answer);
	Py_DECREF(answer);
	if (number < 0 || number >= IDS) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_ValueError, "no id of an event class");
		return -1;
	}
	return (int32_t) number;
}

static int cut(PyObject *cuts, size_t first, size_t behind)
{
	PyObject *range = Py_BuildValue("(nn)", (Py_ssize_t) first, (Py_ssize_t) behind);
	int status = range ? PyList_Append(cuts, range) : -1;

	Py_XDECREF(range);
	return status;
}

struct state {
	size_t events, first, end;	/* of the last event: its first data word, the word behind it */
	uint64_t latest;	/* that event's time */
	int32_t id;
	int is_stamped;	/* a time stamp stands between that event and here */
};

/* Convert one page; return -1 with an exception. */
static int convert_page(const struct run *run, const struct tables *tables, PyObject *cuts, struct state *state,
			size_t word, size_t page_end, uint64_t base)
{
	uint64_t time = base;

	while (word < page_end) {
		uint32_t head = word_at(run, word), kind = head & KIND_MASK;
		size_t length = kind, start;

		if (kind == PADDING) {
			size_t rest = page_end;

			if (head >> DELTA_SHIFT) {
				if (word + 1 >= run->words)
					goto beyond;
				rest = word_at(run, word + 1) >> 2;
			}
			word = rest < page_end - word ? word + 1 + rest : page_end;
			continue;
		}
		if (kind > PADDING) {
			uint64_t stamp;

			if (word + 1 >= run->words)
				goto beyond;
			stamp = (head >> DELTA_SHIFT) + ((uint64_t) word_at(run, word + 1) << STAMP_SHIFT);
			time = kind == TIME_EXTEND ? time + stamp : (stamp | (base & STAMP_EPOCH));
			state->is_stamped = 1;
			word += 2;
			continue;
		}
		time += head >> DELTA_SHIFT;
		if (kind == LARGE) {
			if (++word >= run->words)
				goto beyond;
			length = (word_at(run, word) >> 2) - (size_t) 1;
		}
		state->first = word + 1;
		if (!length || length > run->words || state->first + length > run->words)
			goto beyond;
		state->id = resolve(run, tables, state->first, length);
		if (state->id < 0)
			return -1;
		start = word;
		if (state->is_stamped) {
			start -= 2;
			put_extended_header(run, start, (uint32_t) state->id, time);
			state->is_stamped = 0;
		} else {
			put_compact_header(run, word, (uint32_t) state->id, time);
		}
		if (start > state->end && cut(cuts, state->end, start) < 0)
			return -1;
		word = state->end = state->first + length;
		state->latest = time;
		state->events++;
	}
	return 0;
beyond:
	PyErr_SetString(PyExc_ValueError, "a record reaches beyond its page");
	return -1;
}

/* Where a page begins, and at which time; return -1 with an exception. */
static int page_at(PyObject *pages, Py_ssize_t page, Py_ssize_t *word, unsigned long long *base)
{
	PyObject *pair = PyList_GET_ITEM(pages, page);

	if (!PyTuple_Check(pair)) {
		PyErr_SetString(PyExc_TypeError, "a page is a tuple of its first word and its time");
		return -1;
	}
	return PyArg_ParseTuple(pair, "nK", word, base) ? 0 : -1;
}

static int convert_pages(const struct run *run, const struct tables *tables, PyObject *pages, PyObject *cuts,
			 struct state *state)
{
	Py_ssize_t count = PyList_GET_SIZE(pages);

	for (Py_ssize_t page = 0; page < count; page++) {
		Py_ssize_t word, next = (Py_ssize_t) run->words;
		unsigned long long base, later;

		if (page_at(pages, page, &word, &base) < 0)
			return -1;
		if (page + 1 < count && page_at(pages, page + 1, &next, &later) < 0)
			return -1;
		if (word < 0 || next < word || (size_t) next > run->words) {
			PyErr_SetString(PyExc_ValueError, "pages are out of order");
			return -1;
		}
		if (convert_page(run, tables, cuts, state, (size_t) word, (size_t) next, base) < 0)
			return -1;
	}
	return 0;
}

static int take(PyObject *object, Py_buffer *view, int flags, Py_ssize_t least)
{
	if (PyObject_GetBuffer(object, view, flags) < 0)
		return -1;
	if (view->len >= least)
		return 0;
	PyBuffer_Release(view);
	PyErr_SetString(PyExc_ValueError, "too short a table");
	return -1;
}

static const char convert_doc[] =
	"convert(records, pages, words, last_words, slacks, resolve)\n--\n\n"
	"Return (events, latest time, id of the last, its first data word, the word behind it, cuts), or None.";

static PyObject *convert(PyObject *module, PyObject *arguments)
{
	PyObject *records, *pages, *of_classes[3], *resolve, *result = NULL;
	Py_buffer own, tables[3];
	int taken = 0;

	(void) module;
	if (!PyArg_ParseTuple(arguments, "OO!OOOO", &records, &PyList_Type, &pages, &of_classes[0], &of_classes[1],
			      &of_classes[2], &resolve))
		return NULL;
	if (take(records, &own, PyBUF_CONTIG, 0) < 0)
		return NULL;
	while (taken < 3 && take(of_classes[taken], &tables[taken], PyBUF_CONTIG_RO, IDS * sizeof(uint16_t)) == 0)
		taken++;
	if (taken == 3) {
		struct run run = { own.buf, (size_t) own.len / 4, records };
		struct tables known = { tables[0].buf, tables[1].buf, tables[2].buf, resolve };
		struct state state = { 0 };
		PyObject *cuts = PyList_New(0);

		if (cuts && convert_pages(&run, &known, pages, cuts, &state) == 0)
			result = state.events ?
				Py_BuildValue("nKinnO", (Py_ssize_t) state.events, (unsigned long long) state.latest,
					      (int) state.id, (Py_ssize_t) state.first, (Py_ssize_t) state.end, cuts) :
				Py_NewRef(Py_None);
		Py_XDECREF(cuts);
	}
	while (taken)
		PyBuffer_Release(&tables[--taken]);
	PyBuffer_Release(&own);
	return result;
}

static PyMethodDef methods[] = {
	{ "convert", convert, METH_VARARGS, convert_doc },
	{ NULL, NULL, 0, NULL },
};

static struct PyModuleDef definition = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "_convert",
	.m_doc = "The compiled part of lttngnet.sources.ftrace.convert_compiled.",
	.m_size = 0,
	.m_methods = methods,
};

PyMODINIT_FUNC PyInit__convert(void)
{
	return PyModuleDef_Init(&definition);
}
