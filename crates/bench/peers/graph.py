"""A graph of hnswlib in its own memory, for `bench hnsw`.

graph.py FOLDER METRIC K THREADS M EF_CONSTRUCTION: FOLDER has rows.f32 and queries.f32, vectors of the dimensions
that `dims` says. The first line written has the seconds of CPU and of time that the build took. For each width of a
search read from standard input one more: those of all queries, one after the other on one thread; ids.i64 has what
was found.
"""

import sys
import time
from pathlib import Path

import hnswlib
import numpy

folder, metric = Path(sys.argv[1]), sys.argv[2]
k, threads, m, ef_construction = map(int, sys.argv[3:7])
dims = int((folder / "dims").read_text())
rows = numpy.fromfile(folder / "rows.f32", dtype=numpy.float32).reshape(-1, dims)
queries = numpy.fromfile(folder / "queries.f32", dtype=numpy.float32).reshape(-1, dims)


def measured(work):
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    print(time.process_time() - cpu, time.perf_counter() - wall, flush=True)
    return result


index = hnswlib.Index(space=metric, dim=dims)
index.init_index(max_elements=len(rows), M=m, ef_construction=ef_construction)
measured(lambda: index.add_items(rows, num_threads=threads))
for line in sys.stdin:
    index.set_ef(int(line))
    index.knn_query(queries[:50], k=k, num_threads=1)
    # Written before the line that says so.
    found = index.knn_query(queries, k=k, num_threads=1)[0]
    found.astype(numpy.int64).tofile(folder / "ids.i64")
    measured(lambda: index.knn_query(queries, k=k, num_threads=1))
