"""Exact search by faiss, and what the machine's arithmetic can do, for `bench batch`.

flat.py FOLDER METRIC K THREADS: FOLDER has rows.f32 and queries.f32, vectors of the dimensions that `dims`
says. For each line of standard input a round is measured and a line of numbers written: seconds of CPU and of
time of faiss's search, and of a product of matrices with as many multiplications. At the end ids.i64 has
what was found.
"""

import sys
import time
from pathlib import Path

import faiss
import numpy

folder, metric, k, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
dims = int((folder / "dims").read_text())
rows = numpy.fromfile(folder / "rows.f32", dtype=numpy.float32).reshape(-1, dims)
queries = numpy.fromfile(folder / "queries.f32", dtype=numpy.float32).reshape(-1, dims)
if metric == "cosine":
    rows = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
    queries = queries / numpy.linalg.norm(queries, axis=1, keepdims=True)
faiss.omp_set_num_threads(threads)
index = faiss.IndexFlatL2(dims) if metric == "l2" else faiss.IndexFlatIP(dims)
index.add(rows)


def measured(work):
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


# Square matrices whose product has as many multiplications, up to a size that takes no time to speak of.
side = min(3072, int((len(rows) * len(queries) * dims) ** (1 / 3)))
matrix = numpy.random.default_rng(1).random((side, side), dtype=numpy.float32)
scale = len(rows) * len(queries) * dims / side**3
index.search(queries[:10], k)
matrix @ matrix
print(flush=True)  # ready
for _ in sys.stdin:
    (_, ids), cpu, wall = measured(lambda: index.search(queries, k))
    _, product_cpu, product_wall = measured(lambda: matrix @ matrix)
    ids.astype(numpy.int64).tofile(folder / "ids.i64")
    print(cpu, wall, product_cpu * scale, product_wall * scale, flush=True)
