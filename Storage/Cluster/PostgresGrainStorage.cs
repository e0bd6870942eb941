using System.Globalization;
using Npgsql;
using NpgsqlTypes;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace Fleet.Storage.Cluster;

/// <summary>State of grains in PostgreSQL, one row for each, written by compare-and-swap on its etag.</summary>
/// <remarks>
/// A write under an old etag throws <see cref="InconsistentStateException"/>; Orleans then deactivates the loser, which
/// is the duplicate. Concurrency: any thread.
/// </remarks>
internal sealed class PostgresGrainStorage(
    NpgsqlDataSource source, string service, IGrainStorageSerializer serializer) : IGrainStorage
{
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await using var command = source.CreateCommand(
            "SELECT etag, payload FROM fleet.grain_states WHERE service = $1 AND state = $2 AND grain = $3");
        Key(command, stateName, grainId);
        await using var rows = await command.ExecuteReaderAsync();
        if (!await rows.ReadAsync())
        {
            (grainState.State, grainState.ETag, grainState.RecordExists) =
                (Activator.CreateInstance<T>(), null!, false);
            return;
        }

        grainState.ETag = rows.GetInt64(0).ToString(CultureInfo.InvariantCulture);
        grainState.RecordExists = !rows.IsDBNull(1);
        grainState.State = grainState.RecordExists
            ? serializer.Deserialize<T>(BinaryData.FromBytes(rows.GetFieldValue<byte[]>(1)))
            : Activator.CreateInstance<T>();
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        grainState.ETag = await SwapAsync(
            stateName, grainId, grainState.ETag, serializer.Serialize(grainState.State).ToArray());
        grainState.RecordExists = true;
    }

    /// <summary>Empties the state and keeps its etag: a writer from before the clearing still loses.</summary>
    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        if (grainState.ETag is not null)
        {
            grainState.ETag = await SwapAsync(stateName, grainId, grainState.ETag, null);
        }

        (grainState.State, grainState.RecordExists) = (Activator.CreateInstance<T>(), false);
    }

    private async Task<string> SwapAsync(string stateName, GrainId grainId, string? etag, byte[]? payload)
    {
        await using var command = source.CreateCommand(etag is null
            ? "INSERT INTO fleet.grain_states (service, state, grain, etag, payload) VALUES ($1, $2, $3, 1, $4) "
                + "ON CONFLICT DO NOTHING RETURNING etag"
            : "UPDATE fleet.grain_states SET etag = etag + 1, payload = $4 "
                + "WHERE service = $1 AND state = $2 AND grain = $3 AND etag = $5 RETURNING etag");
        Key(command, stateName, grainId);
        command.Parameters.Add(
            new NpgsqlParameter { Value = (object?)payload ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bytea });
        if (etag is not null)
        {
            command.Parameters.Add(new NpgsqlParameter { Value = long.Parse(etag, CultureInfo.InvariantCulture) });
        }

        return await command.ExecuteScalarAsync() is long next
            ? next.ToString(CultureInfo.InvariantCulture)
            : throw new InconsistentStateException(
                $"The state {stateName} of {grainId} was written by another activation.", "newer", etag ?? "none");
    }

    private void Key(NpgsqlCommand command, string stateName, GrainId grainId)
    {
        command.Parameters.Add(new NpgsqlParameter { Value = service });
        command.Parameters.Add(new NpgsqlParameter { Value = stateName });
        command.Parameters.Add(new NpgsqlParameter { Value = grainId.ToString() });
    }
}
