using Npgsql;
using Orleans.Messaging;
using Orleans.Runtime;

namespace Fleet.Storage.Cluster;

/// <summary>The gateways that clients may connect to: active silos with a proxy port.</summary>
internal sealed class PostgresGatewayList(
    NpgsqlDataSource source, string cluster, TimeSpan maxStaleness) : IGatewayListProvider
{
    public TimeSpan MaxStaleness => maxStaleness;

    public bool IsUpdatable => true;

    public Task InitializeGatewayListProvider() => Task.CompletedTask;

    public async Task<IList<Uri>> GetGateways() =>
    [
        .. (await ActiveAsync(source, cluster)).Select(
            one => SiloAddress.New(one.Gateway, one.Silo.Generation).ToGatewayUri()),
    ];

    public static async Task<IReadOnlyList<SiloGateway>> ActiveAsync(NpgsqlDataSource source, string cluster)
    {
        await using var command = source.CreateCommand(
            "SELECT address, port, generation, proxy_port FROM fleet.members "
            + "WHERE cluster = $1 AND status = $2 AND proxy_port > 0");
        command.Parameters.Add(new NpgsqlParameter { Value = cluster });
        command.Parameters.Add(new NpgsqlParameter { Value = (int)SiloStatus.Active });
        await using var rows = await command.ExecuteReaderAsync();
        var active = new List<SiloGateway>();
        while (await rows.ReadAsync())
        {
            var silo = PostgresMembershipTable.Address(rows, 0);
            active.Add(new(silo, new(silo.Endpoint.Address, rows.GetInt32(3))));
        }

        return active;
    }

    /// <summary>Returns every silo that the table knows, dead ones included.</summary>
    public static async Task<IReadOnlyList<ClusterMember>> MembersAsync(NpgsqlDataSource source, string cluster)
    {
        await using var command = source.CreateCommand(
            "SELECT address, port, generation, silo_name, status FROM fleet.members WHERE cluster = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = cluster });
        await using var rows = await command.ExecuteReaderAsync();
        var members = new List<ClusterMember>();
        while (await rows.ReadAsync())
        {
            members.Add(new(
                rows.GetString(3), PostgresMembershipTable.Address(rows, 0).ToParsableString(),
                (SiloStatus)rows.GetInt32(4) is SiloStatus.Active));
        }

        return members;
    }
}
