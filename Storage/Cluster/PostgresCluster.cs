using System.Net;
using Fleet.Storage.Results;
using Fleet.Storage.Results.Postgres;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Orleans;
using Orleans.Hosting;
using Orleans.Messaging;
using Orleans.Runtime;
using Orleans.Runtime.Hosting;
using Orleans.Storage;

namespace Fleet.Storage.Cluster;

/// <summary>
/// A cluster of silos that stands on one PostgreSQL database: who is a member, and the state of grains.
/// </summary>
/// <remarks>Kept open as long as the host runs; one pool of at most 16 connections.</remarks>
public sealed class PostgresCluster : IAsyncDisposable
{
    /// <summary>A run whose driver said nothing for so long is taken for abandoned.</summary>
    public static readonly TimeSpan Abandoned = TimeSpan.FromSeconds(30);

    /// <summary>Ends the name of a cluster of waiting silos; no other cluster's name may.</summary>
    public const string IdleSuffix = ".idle";

    /// <summary>Silos say that they live every 30 s at most.</summary>
    private static readonly TimeSpan SaidLately = TimeSpan.FromSeconds(75);

    private static readonly TimeSpan GatewayStaleness = TimeSpan.FromSeconds(10);

    private readonly NpgsqlDataSource _source;
    private readonly string _cluster;
    private IReadOnlyList<SiloGateway> _gateways = [];

    private PostgresCluster(NpgsqlDataSource source, string cluster)
    {
        _source = source;
        _cluster = cluster;
    }

    /// <param name="cluster">Silos and clients of equal names form one cluster.</param>
    /// <exception cref="StorageException">The address is a directory, cannot be reached, or a right is
    /// missing.</exception>
    public static async Task<PostgresCluster> OpenAsync(StoreAddress address, string cluster, CancellationToken ct)
    {
        var connection = address.ConnectionString
            ?? throw new StorageException($"A cluster stands on PostgreSQL; {address} is a directory.");
        RunName.Check(cluster, "cluster");
        await (await PostgresResultStore.OpenAsync(connection, address.Text, ct)).DisposeAsync();
        return new PostgresCluster(NpgsqlDataSource.Create(connection), cluster);
    }

    /// <summary>Name of the cluster of which silos are members while they wait for a run of another.</summary>
    public static string IdleNameOf(string cluster) => cluster + IdleSuffix;

    /// <summary>Membership from the database for a silo.</summary>
    /// <returns>To be called once the cluster's run has ended, before the silo leaves.</returns>
    public Action UseMembership(ISiloBuilder silo)
    {
        var table = new PostgresMembershipTable(_source, _cluster);
        silo.Services.AddSingleton<IMembershipTable>(table);
        return table.Forget;
    }

    /// <summary>Membership, for a silo that waits for a run of this cluster.</summary>
    public void UseIdleMembership(ISiloBuilder silo) =>
        silo.Services.AddSingleton<IMembershipTable>(new PostgresMembershipTable(_source, IdleNameOf(_cluster)));

    /// <summary>Returns how many silos wait for a run of this cluster and said lately that they live.</summary>
    public async Task<int> WaitingAsync(CancellationToken ct) =>
        (await KnownSilosAsync(ct)).Count(member => member is { IsIdle: true, Status: "Active", IsFresh: true });

    /// <summary>Returns every silo of this cluster that the database knows, waiting or at a run.</summary>
    public async Task<IReadOnlyList<SiloMember>> KnownSilosAsync(CancellationToken ct)
    {
        await using var command = _source.CreateCommand(
            "SELECT silo_name, address, port, proxy_port, generation, status, started, "
            + "alive > clock_timestamp() - $3, cluster = $2 FROM fleet.members WHERE cluster IN ($1, $2) "
            + "ORDER BY silo_name, started");
        command.Parameters.Add(new NpgsqlParameter { Value = _cluster });
        command.Parameters.Add(new NpgsqlParameter { Value = IdleNameOf(_cluster) });
        command.Parameters.Add(new NpgsqlParameter { Value = SaidLately });
        await using var rows = await command.ExecuteReaderAsync(ct);
        var members = new List<SiloMember>();
        while (await rows.ReadAsync(ct))
        {
            members.Add(new(
                rows.GetString(0), rows.GetString(1), rows.GetInt32(2), rows.GetInt32(3), rows.GetInt32(4),
                ((SiloStatus)rows.GetInt32(5)).ToString(), rows.GetDateTime(6), rows.GetBoolean(7),
                rows.GetBoolean(8)));
        }

        return members;
    }

    /// <summary>Returns how many objects of a run have an incarnation, how many more than one, and how many
    /// incarnations they had.</summary>
    public async Task<(long Objects, long Reborn, long Generations)> IncarnationsAsync(
        string scope, CancellationToken ct)
    {
        await using var command = _source.CreateCommand(
            "SELECT count(*), count(*) FILTER (WHERE gen > 1), coalesce(sum(gen), 0)::bigint "
            + "FROM fleet.incarnations WHERE scope = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = scope });
        await using var rows = await command.ExecuteReaderAsync(ct);
        await rows.ReadAsync(ct);
        return (rows.GetInt64(0), rows.GetInt64(1), rows.GetInt64(2));
    }

    /// <summary>Forgets every member of this cluster: for who knows that none of them lives.</summary>
    /// <exception cref="StorageException">The store does not answer; the next cluster of the name forgets
    /// them.</exception>
    public async Task ForgetAsync(CancellationToken ct)
    {
        foreach (var name in (string[])[_cluster, IdleNameOf(_cluster)])
        {
            await using var command = _source.CreateCommand("SELECT fleet.end_cluster_run($1, '')");
            command.Parameters.Add(new NpgsqlParameter { Value = name });
            try
            {
                await command.ExecuteNonQueryAsync(ct);
            }
            catch (Exception e) when (Transience.IsConnectionLoss(e))
            {
                throw new StorageException($"The store of the cluster {_cluster} does not answer.", e);
            }
        }
    }

    /// <summary>Forgets the members of this cluster and nothing else: for who knows that none of them lives and
    /// goes on with their run. Silos that join would wait for those that were killed.</summary>
    public async Task ForgetMembersAsync(CancellationToken ct)
    {
        await using var command = _source.CreateCommand("DELETE FROM fleet.clusters WHERE cluster = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = _cluster });
        await Transience.Patient().ExecuteAsync(
            async token => await command.ExecuteNonQueryAsync(token), ct);
    }

    /// <summary>Gateways from the database for a client.</summary>
    public void UseGateways(IClientBuilder client) => client.Services.AddSingleton<IGatewayListProvider>(
        new PostgresGatewayList(_source, _cluster, GatewayStaleness));

    /// <summary>Grain state in the database for a silo, under a provider's name.</summary>
    public void UseGrainStorage(ISiloBuilder silo, string provider) => silo.Services.AddGrainStorage(
        provider, (services, _) => new PostgresGrainStorage(
            _source, _cluster, services.GetRequiredService<IGrainStorageSerializer>()));

    /// <summary>Says which run the cluster serves; silos that wait for one begin.</summary>
    /// <remarks>The run that it serves may be announced again: somebody goes on with it.</remarks>
    /// <exception cref="StorageException">It serves another run.</exception>
    public async Task AnnounceAsync(string run, CancellationToken ct)
    {
        await using var command = _source.CreateCommand(
            "INSERT INTO fleet.cluster_runs AS known (cluster, run_id) "
            + "SELECT $1, run_id FROM fleet.runs WHERE run = $2 "
            + "ON CONFLICT (cluster) DO UPDATE SET run_id = excluded.run_id, renewed = excluded.renewed "
            + "WHERE known.renewed < clock_timestamp() - $3 OR known.run_id = excluded.run_id RETURNING run_id");
        command.Parameters.Add(new NpgsqlParameter { Value = _cluster });
        command.Parameters.Add(new NpgsqlParameter { Value = run });
        command.Parameters.Add(new NpgsqlParameter { Value = Abandoned });
        if (await command.ExecuteScalarAsync(ct) is null)
        {
            throw new StorageException($"The cluster {_cluster} serves another run; it is free when that one ends.");
        }
    }

    /// <summary>Says that the run goes on; a store that does not answer is asked again next time.</summary>
    public async Task RenewAsync(CancellationToken ct)
    {
        await using var command = _source.CreateCommand(
            "UPDATE fleet.cluster_runs SET renewed = clock_timestamp() WHERE cluster = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = _cluster });
        try
        {
            await command.ExecuteNonQueryAsync(ct);
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            return;
        }
    }

    /// <summary>Returns the run that the cluster serves, and whether its driver still says so.</summary>
    /// <returns>Null where there is none, and where the store does not answer <c>isKnown</c> is false.</returns>
    public async Task<(string? Run, bool IsFresh, bool IsKnown)> RunAsync(CancellationToken ct)
    {
        await using var command = _source.CreateCommand(
            "SELECT r.run, c.renewed > clock_timestamp() - $2 FROM fleet.cluster_runs c "
            + "JOIN fleet.runs r ON r.run_id = c.run_id WHERE c.cluster = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = _cluster });
        command.Parameters.Add(new NpgsqlParameter { Value = Abandoned });
        try
        {
            await using var rows = await command.ExecuteReaderAsync(ct);
            return await rows.ReadAsync(ct) ? (rows.GetString(0), rows.GetBoolean(1), true) : (null, false, true);
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            return (null, false, false);
        }
    }

    /// <summary>Ends the cluster's run: who writes after it is refused, and nothing of the cluster stays.</summary>
    /// <param name="scope">Of the run's incarnations.</param>
    public async Task EndAsync(string scope, CancellationToken ct)
    {
        await using var command = _source.CreateCommand("SELECT fleet.end_cluster_run($1, $2)");
        command.Parameters.Add(new NpgsqlParameter { Value = _cluster });
        command.Parameters.Add(new NpgsqlParameter { Value = scope });
        await Transience.Patient().ExecuteAsync(
            async token => await command.ExecuteNonQueryAsync(token), ct);
    }

    /// <summary>Returns the addresses of the silos that clients may connect to; the last known ones while the store
    /// does not answer.</summary>
    public async Task<IReadOnlyList<string>> SilosAsync() =>
        [.. (await GatewaysAsync()).Select(one => one.Silo.ToParsableString())];

    /// <summary>Returns the silos that clients may connect to, and where; the last known ones while the store does not
    /// answer.</summary>
    public async Task<IReadOnlyList<SiloGateway>> GatewaysAsync()
    {
        try
        {
            return _gateways = await PostgresGatewayList.ActiveAsync(_source, _cluster);
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            return _gateways;
        }
    }

    /// <summary>Returns every silo that the membership table knows; none while the store does not answer.</summary>
    public async Task<IReadOnlyList<ClusterMember>> MembersAsync()
    {
        try
        {
            return await PostgresGatewayList.MembersAsync(_source, _cluster);
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            return [];
        }
    }

    public ValueTask DisposeAsync() => _source.DisposeAsync();
}

/// <summary>A silo that serves, and where clients connect to it.</summary>
public sealed record SiloGateway(SiloAddress Silo, IPEndPoint Gateway);

/// <summary>One silo of a cluster as the membership table has it.</summary>
/// <param name="Address">As Orleans parses it.</param>
public readonly record struct ClusterMember(string Name, string Address, bool IsActive);

/// <summary>One silo as the database knows it.</summary>
/// <param name="GatewayPort">0 without a gateway.</param>
/// <param name="Generation">Tells silos that used one address after another apart.</param>
/// <param name="Status">Orleans' word, such as Active.</param>
/// <param name="IsFresh">It said lately that it lives.</param>
/// <param name="IsIdle">It waits for a run.</param>
public sealed record SiloMember(
    string Name, string Address, int Port, int GatewayPort, int Generation, string Status, DateTime Started,
    bool IsFresh, bool IsIdle);
