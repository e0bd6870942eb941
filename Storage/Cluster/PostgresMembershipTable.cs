using System.Globalization;
using System.Net;
using Fleet.Storage.Results.Postgres;
using Npgsql;
using NpgsqlTypes;
using Orleans;
using Orleans.Runtime;

namespace Fleet.Storage.Cluster;

/// <summary>Orleans' membership table in PostgreSQL.</summary>
/// <remarks>
/// Each change is one transaction: the table's version row is taken by compare-and-swap, which serialises all writers,
/// then the silo's row by its own etag. A lost race answers false and never throws. Reads are one statement, so version
/// and rows are of one moment. Concurrency: any thread.
/// Source: Orleans, IMembershipTable and its conformance tests.
/// </remarks>
internal sealed class PostgresMembershipTable(NpgsqlDataSource source, string cluster) : IMembershipTable
{
    private const string Columns =
        "c.version, c.etag, m.address, m.port, m.generation, m.silo_name, m.host_name, m.status, "
            + "m.proxy_port, m.suspects, "
        + "m.started, m.alive, m.etag";

    private volatile bool _isForgotten;

    /// <summary>The cluster ended and its rows are gone: what a silo that leaves it writes is accepted and dropped,
    /// since Orleans would try for ever.</summary>
    public void Forget() => _isForgotten = true;

    public async Task InitializeMembershipTable(bool tryInitTableVersion)
    {
        if (tryInitTableVersion)
        {
            await using var command = source.CreateCommand(
                "INSERT INTO fleet.clusters (cluster, version, etag) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING");
            Add(command, cluster);
            await command.ExecuteNonQueryAsync();
        }
    }

    public async Task DeleteMembershipTableEntries(string clusterId)
    {
        await using var command = source.CreateCommand("DELETE FROM fleet.clusters WHERE cluster = $1");
        Add(command, clusterId);
        await command.ExecuteNonQueryAsync();
    }

    public async Task CleanupDefunctSiloEntries(DateTimeOffset beforeDate)
    {
        await using var command = source.CreateCommand(
            "DELETE FROM fleet.members WHERE cluster = $1 AND status = $2 AND greatest(alive, started) < $3");
        Add(command, cluster, (int)SiloStatus.Dead, beforeDate.UtcDateTime);
        await command.ExecuteNonQueryAsync();
    }

    public Task<MembershipTableData> ReadRow(SiloAddress key) => ReadAsync(
        "AND m.address = $2 AND m.port = $3 AND m.generation = $4",
        key.Endpoint.Address.ToString(), key.Endpoint.Port, key.Generation);

    public Task<MembershipTableData> ReadAll() => ReadAsync("");

    public Task<bool> InsertRow(MembershipEntry entry, TableVersion tableVersion) => ChangeAsync(
        tableVersion,
        "INSERT INTO fleet.members (cluster, address, port, generation, silo_name, host_name, status, "
        + "proxy_port, suspects, "
        + "started, alive, etag) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1) ON CONFLICT DO NOTHING",
        [.. Key(entry.SiloAddress), entry.SiloName ?? "", entry.HostName ?? "", .. Changing(entry),
            Utc(entry.StartTime), Utc(entry.IAmAliveTime)]);

    public Task<bool> UpdateRow(MembershipEntry entry, string etag, TableVersion tableVersion) => ChangeAsync(
        tableVersion,
        "UPDATE fleet.members SET status = $5, proxy_port = $6, suspects = $7, alive = $8, etag = etag + 1 "
        + "WHERE cluster = $1 AND address = $2 AND port = $3 AND generation = $4 AND etag = $9",
        [.. Key(entry.SiloAddress), .. Changing(entry), Utc(entry.IAmAliveTime),
            long.Parse(etag, CultureInfo.InvariantCulture)]);

    public async Task UpdateIAmAlive(MembershipEntry entry)
    {
        // Neither version nor etag moves: a heartbeat is no change of membership.
        await using var command = source.CreateCommand(
            "UPDATE fleet.members SET alive = $5 "
            + "WHERE cluster = $1 AND address = $2 AND port = $3 AND generation = $4");
        Add(command, [.. Key(entry.SiloAddress), Utc(entry.IAmAliveTime)]);
        await command.ExecuteNonQueryAsync();
    }

    internal static SiloAddress Address(NpgsqlDataReader row, int at) => SiloAddress.New(
        new IPEndPoint(IPAddress.Parse(row.GetString(at)), row.GetInt32(at + 1)), row.GetInt32(at + 2));

    private static void Add(NpgsqlCommand command, params object[] values)
    {
        foreach (var value in values)
        {
            command.Parameters.Add(value is DateTime
                ? new NpgsqlParameter { Value = value, NpgsqlDbType = NpgsqlDbType.TimestampTz }
                : new NpgsqlParameter { Value = value });
        }
    }

    private object[] Key(SiloAddress silo) =>
        [cluster, silo.Endpoint.Address.ToString(), silo.Endpoint.Port, silo.Generation];

    private static object[] Changing(MembershipEntry entry) =>
    [
        (int)entry.Status, entry.ProxyPort,
        string.Join('|', (entry.SuspectTimes ?? []).Select(
            s => $"{s.Item1.ToParsableString()},{Utc(s.Item2).ToString("O", CultureInfo.InvariantCulture)}")),
    ];

    /// <summary>Npgsql refuses a timestamptz whose kind is not UTC.</summary>
    private static DateTime Utc(DateTime time) => time.Kind is DateTimeKind.Local
        ? time.ToUniversalTime()
        : DateTime.SpecifyKind(time, DateTimeKind.Utc);

    private async Task<bool> ChangeAsync(TableVersion next, string sql, object[] values)
    {
        if (_isForgotten)
        {
            return true;
        }

        await using var connection = await source.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var version = new NpgsqlCommand(
            "UPDATE fleet.clusters SET version = $2, etag = etag + 1 WHERE cluster = $1 AND etag = $3", connection))
        {
            Add(version, cluster, next.Version, long.Parse(next.VersionEtag, CultureInfo.InvariantCulture));
            if (await version.ExecuteNonQueryAsync() == 0)
            {
                return false; // Another silo was first; the caller reads again.
            }
        }

        await using (var row = new NpgsqlCommand(sql, connection))
        {
            Add(row, values);
            if (await row.ExecuteNonQueryAsync() == 0)
            {
                return false;
            }
        }

        await transaction.CommitAsync();
        return true;
    }

    /// <exception cref="OrleansException">The database is away; a kind that Orleans can carry to who asked.</exception>
    private async Task<MembershipTableData> ReadAsync(string restriction, params object[] values)
    {
        try
        {
            return await ReadOnceAsync(restriction, values);
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            throw new OrleansException($"The membership table cannot be read: {e.Message}");
        }
    }

    private async Task<MembershipTableData> ReadOnceAsync(string restriction, object[] values)
    {
        await using var command = source.CreateCommand(
            $"SELECT {Columns} FROM fleet.clusters c LEFT JOIN fleet.members m ON m.cluster = c.cluster {restriction} "
            + "WHERE c.cluster = $1");
        Add(command, [cluster, .. values]);
        await using var rows = await command.ExecuteReaderAsync();
        var members = new List<Tuple<MembershipEntry, string>>();
        var version = new TableVersion(0, "0");
        while (await rows.ReadAsync())
        {
            version = new TableVersion(rows.GetInt32(0), rows.GetInt64(1).ToString(CultureInfo.InvariantCulture));
            if (!rows.IsDBNull(2))
            {
                members.Add(Tuple.Create(Entry(rows), rows.GetInt64(12).ToString(CultureInfo.InvariantCulture)));
            }
        }

        return new MembershipTableData(members, version);
    }

    private static MembershipEntry Entry(NpgsqlDataReader row) => new()
    {
        SiloAddress = Address(row, 2),
        SiloName = row.GetString(5),
        HostName = row.GetString(6),
        Status = (SiloStatus)row.GetInt32(7),
        ProxyPort = row.GetInt32(8),
        SuspectTimes =
        [
            .. row.GetString(9).Split('|', StringSplitOptions.RemoveEmptyEntries).Select(s => s.Split(',', 2))
                .Select(s => Tuple.Create(
                    SiloAddress.FromParsableString(s[0]),
                    DateTime.Parse(s[1], CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind))),
        ],
        StartTime = row.GetDateTime(10),
        IAmAliveTime = row.GetDateTime(11),
    };
}
