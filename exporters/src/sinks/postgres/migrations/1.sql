-- What one client used of one route in a bucket. Who adds up adds all widths: no time of an
-- instance is in two of them.
CREATE TABLE :s.usage (
    bucket timestamptz NOT NULL,       -- when it begins
    width_s integer NOT NULL,          -- how long it is: 10, 60 or 3600 seconds
    instance text NOT NULL,            -- whose history it is from
    client text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    key text NOT NULL,                 -- the public id of the provider's key
    requests bigint NOT NULL,
    errors bigint NOT NULL,
    input bigint NOT NULL,             -- tokens, as the six that follow
    cached_input bigint NOT NULL,
    cache_write bigint NOT NULL,
    output bigint NOT NULL,
    reasoning bigint NOT NULL,
    audio_input bigint NOT NULL,
    audio_output bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,     -- of the requests whose price is known
    unpriced bigint NOT NULL,          -- requests whose price is not
    last_request timestamptz,
    timed bigint NOT NULL,             -- requests whose latency is known
    latency_us bigint NOT NULL,        -- all of these together
    latency bytea NOT NULL,            -- these one by one; see latency_cells
    PRIMARY KEY (bucket, instance, client, provider, model, key, width_s)
) PARTITION BY LIST (width_s);
-- Rows come and go in the finer two: what goes must be found before a fifth of a table is dead.
CREATE TABLE :s.usage_10s PARTITION OF :s.usage FOR VALUES IN (10)
    WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE :s.usage_1m PARTITION OF :s.usage FOR VALUES IN (60)
    WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE :s.usage_1h PARTITION OF :s.usage FOR VALUES IN (3600);

-- Failures by type, which are not counted by client.
CREATE TABLE :s.errors (
    bucket timestamptz NOT NULL,
    width_s integer NOT NULL,
    instance text NOT NULL,
    provider text NOT NULL,
    type text NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (bucket, instance, provider, type, width_s)
) PARTITION BY LIST (width_s);
CREATE TABLE :s.errors_10s PARTITION OF :s.errors FOR VALUES IN (10)
    WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE :s.errors_1m PARTITION OF :s.errors FOR VALUES IN (60)
    WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE :s.errors_1h PARTITION OF :s.errors FOR VALUES IN (3600);

-- How far each instance is: moved by the transaction that writes its rows.
CREATE TABLE :s.positions (
    instance text PRIMARY KEY,         -- sixteen hex digits
    second bigint NOT NULL,            -- it has all buckets that begin before this Unix second,
    rows bigint NOT NULL,              -- and so many rows of the one that begins there
    moved timestamptz NOT NULL
);

-- A latency histogram: eight bytes a cell, of which the first two are its number and six how many
-- requests, the highest byte first. Two of them one after the other are the histogram of both.
CREATE FUNCTION :s.latency_cells(latency bytea) RETURNS TABLE (cell integer, requests bigint)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (n >> 48)::integer, sum(n & 281474976710655)::bigint
    FROM (SELECT ('x' || encode(substring(latency FROM 8 * i + 1 FOR 8), 'hex'))::bit(64)::bigint AS n
          FROM generate_series(0, length(latency) / 8 - 1) AS i) AS cells
    GROUP BY 1 ORDER BY 1
$$;

-- The same with each cell once.
CREATE FUNCTION :s.latency_compact(latency bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(string_agg(int8send((cell::bigint << 48) | requests), ''::bytea ORDER BY cell), ''::bytea)
    FROM :s.latency_cells(latency)
$$;

-- The middle of a cell in microseconds: 128 cells an octave, and below 256 one each.
CREATE FUNCTION :s.latency_middle_us(cell integer) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN cell < 256 THEN cell::double precision
        ELSE (128 + cell % 128) * 2.0 ^ (cell / 128 - 1) + (2.0 ^ (cell / 128 - 1) - 1) / 2 END
$$;

-- The latency in milliseconds that a part q of all requests does not exceed, within 0.4 %.
CREATE FUNCTION :s.latency_quantile_ms(latency bytea, q double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT :s.latency_middle_us(cell) / 1000
    FROM (SELECT cell, sum(requests) OVER (ORDER BY cell) AS below, sum(requests) OVER () AS requests
          FROM :s.latency_cells(latency)) AS cells
    WHERE below >= greatest(ceil(least(greatest(q, 0), 1) * requests), 1) ORDER BY cell LIMIT 1
$$;

-- Many requests in one row. What is not known is NULL: a cost where no request has a price.
CREATE VIEW :s.cost_by_client_month AS
SELECT (date_trunc('month', bucket AT TIME ZONE 'UTC'))::date AS month, client,
    sum(requests) AS requests, sum(errors) AS errors, sum(input) AS input_tokens, sum(output) AS output_tokens,
    CASE WHEN sum(unpriced) < sum(requests)
        THEN (sum(cost_nano_usd) * 0.000000001)::numeric(29, 9) END AS cost_usd,
    sum(unpriced) AS unpriced_requests, max(last_request) AS last_request
FROM :s.usage GROUP BY 1, 2;

CREATE VIEW :s.cost_by_provider_day AS
SELECT (date_trunc('day', bucket AT TIME ZONE 'UTC'))::date AS day, provider, key,
    sum(requests) AS requests, sum(errors) AS errors, sum(input) AS input_tokens, sum(output) AS output_tokens,
    CASE WHEN sum(unpriced) < sum(requests)
        THEN (sum(cost_nano_usd) * 0.000000001)::numeric(29, 9) END AS cost_usd,
    sum(unpriced) AS unpriced_requests
FROM :s.usage GROUP BY 1, 2, 3;

CREATE VIEW :s.usage_by_model_day AS
SELECT *, :s.latency_quantile_ms(latency, 0.5) AS latency_p50_ms,
    :s.latency_quantile_ms(latency, 0.95) AS latency_p95_ms
FROM (SELECT (date_trunc('day', bucket AT TIME ZONE 'UTC'))::date AS day, provider, model,
    sum(requests) AS requests, sum(errors) AS errors, sum(input) AS input_tokens,
    sum(cached_input) AS cached_input_tokens, sum(cache_write) AS cache_write_tokens,
    sum(output) AS output_tokens, sum(reasoning) AS reasoning_tokens,
    sum(audio_input) AS audio_input_tokens, sum(audio_output) AS audio_output_tokens,
    CASE WHEN sum(unpriced) < sum(requests)
        THEN (sum(cost_nano_usd) * 0.000000001)::numeric(29, 9) END AS cost_usd,
    sum(unpriced) AS unpriced_requests,
    (sum(latency_us) / nullif(sum(timed), 0) / 1000)::double precision AS latency_mean_ms,
    string_agg(latency, ''::bytea) AS latency
FROM :s.usage GROUP BY 1, 2, 3) AS days;

CREATE VIEW :s.error_rate_by_provider_hour AS
SELECT date_trunc('hour', bucket, 'UTC') AS hour, provider, sum(requests) AS requests, sum(errors) AS errors,
    (sum(errors) / nullif(sum(requests), 0))::double precision AS error_rate
FROM :s.usage GROUP BY 1, 2;

CREATE VIEW :s.errors_by_type_day AS
SELECT (date_trunc('day', bucket AT TIME ZONE 'UTC'))::date AS day, provider, type, sum(requests) AS requests
FROM :s.errors GROUP BY 1, 2, 3;
