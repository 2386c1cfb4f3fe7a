-- COPY in text and binary; hostile binary messages.
CREATE EXTENSION pgnear;
\set ECHO none
\i sql/support/ask.psql
\set ECHO all
-- Files lie in the data directory, where the programs of COPY run.

-- vector
CREATE TABLE t (val vector(3));
INSERT INTO t VALUES ('[0,0,0]'), ('[1,-2.5,3e38]'), ('[1e-45,-0,0.1]'), (NULL);
COPY t TO STDOUT;
COPY t TO PROGRAM 'cat > copy_vector.txt';
COPY t TO PROGRAM 'cat > copy_vector.bin' (FORMAT binary);
CREATE TABLE u (val vector(3));
COPY u FROM PROGRAM 'cat copy_vector.txt';
COPY u FROM PROGRAM 'cat copy_vector.bin' (FORMAT binary);
SELECT val, count(*), count(DISTINCT vector_send(val)) FROM u GROUP BY val ORDER BY val;
CREATE TABLE two (val vector(2));
SELECT pg_temp.try($$COPY two FROM PROGRAM 'cat copy_vector.txt'$$);
SELECT pg_temp.try($$COPY two FROM PROGRAM 'cat copy_vector.bin' (FORMAT binary)$$);
COPY (SELECT 1) TO PROGRAM 'rm copy_vector.txt copy_vector.bin';
DROP TABLE t, u, two;
SELECT vector_send('[1,-2]');

-- halfvec
CREATE TABLE t (val halfvec(3));
INSERT INTO t VALUES ('[0,0,0]'), ('[1,-2.5,65504]'), ('[6e-8,-0,0.1]'), (NULL);
COPY t TO STDOUT;
COPY t TO PROGRAM 'cat > copy_halfvec.txt';
COPY t TO PROGRAM 'cat > copy_halfvec.bin' (FORMAT binary);
CREATE TABLE u (val halfvec(3));
COPY u FROM PROGRAM 'cat copy_halfvec.txt';
COPY u FROM PROGRAM 'cat copy_halfvec.bin' (FORMAT binary);
SELECT val, count(*), count(DISTINCT halfvec_send(val)) FROM u GROUP BY val ORDER BY val;
CREATE TABLE two (val halfvec(2));
SELECT pg_temp.try($$COPY two FROM PROGRAM 'cat copy_halfvec.txt'$$);
SELECT pg_temp.try($$COPY two FROM PROGRAM 'cat copy_halfvec.bin' (FORMAT binary)$$);
COPY (SELECT 1) TO PROGRAM 'rm copy_halfvec.txt copy_halfvec.bin';
DROP TABLE t, u, two;
SELECT halfvec_send('[1,-2]');

-- sparsevec
CREATE TABLE t (val sparsevec(3));
INSERT INTO t VALUES ('{}/3'), ('{1:1,2:-2.5}/3'), ('{3:3e38}/3'), (NULL);
COPY t TO STDOUT;
COPY t TO PROGRAM 'cat > copy_sparsevec.txt';
COPY t TO PROGRAM 'cat > copy_sparsevec.bin' (FORMAT binary);
CREATE TABLE u (val sparsevec(3));
COPY u FROM PROGRAM 'cat copy_sparsevec.txt';
COPY u FROM PROGRAM 'cat copy_sparsevec.bin' (FORMAT binary);
SELECT val, count(*), count(DISTINCT sparsevec_send(val)) FROM u GROUP BY val ORDER BY val;
CREATE TABLE two (val sparsevec(2));
SELECT pg_temp.try($$COPY two FROM PROGRAM 'cat copy_sparsevec.txt'$$);
SELECT pg_temp.try($$COPY two FROM PROGRAM 'cat copy_sparsevec.bin' (FORMAT binary)$$);
COPY (SELECT 1) TO PROGRAM 'rm copy_sparsevec.txt copy_sparsevec.bin';
DROP TABLE t, u, two;
SELECT sparsevec_send('{1:1,3:-2}/4');

-- receive(type, message): what the type makes of a binary message.
CREATE FUNCTION pg_temp.receive(type text, message text) RETURNS text LANGUAGE plpgsql AS $receive$
DECLARE
    -- Signature, no flags, no header extension; a row of one field; the end.
    bytes bytea := '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea
        || '\x0001'::bytea || int4send(length(message) / 2) || decode(message, 'hex') || '\xffff'::bytea;
    octal text;
    answer text;
BEGIN
    SELECT string_agg(format('\%s%s%s', b >> 6, (b >> 3) & 7, b & 7), '' ORDER BY i) INTO octal
    FROM generate_series(0, length(bytes) - 1) i, get_byte(bytes, i) b;
    DROP TABLE IF EXISTS receive;
    EXECUTE format('CREATE TEMP TABLE receive (val %s)', type);
    EXECUTE format('COPY receive FROM PROGRAM %L (FORMAT binary)', 'printf ''' || octal || '''');
    SELECT val::text INTO STRICT answer FROM receive;
    RETURN answer;
END
$receive$;
SET client_min_messages = warning;
SELECT pg_temp.ask($$
pg_temp.receive('vector', '000200003f800000c0000000')
pg_temp.receive('vector(2)', '000200003f800000c0000000')
pg_temp.receive('vector(3)', '000200003f800000c0000000')
pg_temp.receive('vector', '000200003f800000')
pg_temp.receive('vector', '000200003f800000c0')
pg_temp.receive('vector', '000100003f800000c0000000')
pg_temp.receive('vector', '00000000')
pg_temp.receive('vector', 'ffff00003f800000')
pg_temp.receive('vector', '3e810000')
pg_temp.receive('vector', '7fff0000')
pg_temp.receive('vector', '000100013f800000')
pg_temp.receive('vector', '000100007fc00000')
pg_temp.receive('vector', '000100007f800000')
pg_temp.receive('vector', '00010000ff800000')
pg_temp.receive('vector', '0001000000000001')
pg_temp.receive('vector', '0001')
pg_temp.receive('vector', '')
pg_temp.receive('halfvec', '000200003c00c000')
pg_temp.receive('halfvec(3)', '000200003c00c000')
pg_temp.receive('halfvec', '000200003c00')
pg_temp.receive('halfvec', '000100003c00c000')
pg_temp.receive('halfvec', '00000000')
pg_temp.receive('halfvec', 'ffff0000')
pg_temp.receive('halfvec', '3e810000')
pg_temp.receive('halfvec', '000100013c00')
pg_temp.receive('halfvec', '000100007e00')
pg_temp.receive('halfvec', '000100007c00')
pg_temp.receive('halfvec', '00010000fc00')
pg_temp.receive('halfvec', '000100000001')
pg_temp.receive('sparsevec', '000000040000000200000000' || '00000000000000023f800000c0000000')
pg_temp.receive('sparsevec(5)', '000000040000000200000000' || '00000000000000023f800000c0000000')
pg_temp.receive('sparsevec', '000000040000000000000000')
pg_temp.receive('sparsevec', '000000000000000000000000')
pg_temp.receive('sparsevec', 'ffffffff0000000000000000')
pg_temp.receive('sparsevec', '3b9aca010000000000000000')
pg_temp.receive('sparsevec', '00000004ffffffff00000000')
pg_temp.receive('sparsevec', '000000010000000200000000')
pg_temp.receive('sparsevec', '3b9aca0000003e8100000000')
pg_temp.receive('sparsevec', '3b9aca007fffffff00000000')
pg_temp.receive('sparsevec', '000000040000000100000001' || '000000003f800000')
pg_temp.receive('sparsevec', '000000040000000200000000' || '00000002000000003f800000c0000000')
pg_temp.receive('sparsevec', '000000040000000200000000' || '00000001000000013f800000c0000000')
pg_temp.receive('sparsevec', '000000040000000100000000' || '000000043f800000')
pg_temp.receive('sparsevec', '000000040000000100000000' || 'ffffffff3f800000')
pg_temp.receive('sparsevec', '000000040000000100000000' || '0000000000000000')
pg_temp.receive('sparsevec', '000000040000000100000000' || '0000000080000000')
pg_temp.receive('sparsevec', '000000040000000100000000' || '000000007fc00000')
pg_temp.receive('sparsevec', '000000040000000100000000' || '000000007f800000')
pg_temp.receive('sparsevec', '000000040000000100000000' || '00000000')
pg_temp.receive('sparsevec', '000000040000000100000000')
pg_temp.receive('sparsevec', '00000004')
$$);
