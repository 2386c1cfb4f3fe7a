-- pgnear installs under two names, its own and pgvector's "vector", and so may
-- pgvector itself: the types and access methods of all three have the same names.
-- While this runs, pg_extension has the row of the extension being created.

DO $$
BEGIN
    IF (SELECT count(*) FROM pg_catalog.pg_extension WHERE extname IN ('pgnear', 'vector')) > 1 THEN
        RAISE EXCEPTION 'extensions "pgnear" and "vector" cannot be in one database'
            USING ERRCODE = 'duplicate_object',
                  HINT = 'Both have the same types, functions and access methods. Drop the other extension first.';
    END IF;
END
$$;
