using Fleet.Storage.Results;
using Fleet.Storage.Results.Postgres;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Orleans;
using Orleans.Hosting;
using Orleans.Messaging;
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

    private static readonly TimeSpan GatewayStaleness = TimeSpan.FromSeconds(10);

    private readonly NpgsqlDataSource _source;
    private readonly string _cluster;
    private IReadOnlyList<string> _silos = [];

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

    /// <summary>Membership from the database for a silo.</summary>
    public void UseMembership(ISiloBuilder silo) =>
        silo.Services.AddSingleton<IMembershipTable>(new PostgresMembershipTable(_source, _cluster));

    /// <summary>Gateways from the database for a client.</summary>
    public void UseGateways(IClientBuilder client) => client.Services.AddSingleton<IGatewayListProvider>(
        new PostgresGatewayList(_source, _cluster, GatewayStaleness));

    /// <summary>Grain state in the database for a silo, under a provider's name.</summary>
    public void UseGrainStorage(ISiloBuilder silo, string provider) => silo.Services.AddGrainStorage(
        provider, (services, _) => new PostgresGrainStorage(
            _source, _cluster, services.GetRequiredService<IGrainStorageSerializer>()));

    /// <summary>Says which run the cluster serves; silos that wait for one begin.</summary>
    /// <exception cref="StorageException">It serves another run.</exception>
    public async Task AnnounceAsync(string run, CancellationToken ct)
    {
        await using var command = _source.CreateCommand(
            "INSERT INTO fleet.cluster_runs AS known (cluster, run_id) "
            + "SELECT $1, run_id FROM fleet.runs WHERE run = $2 "
            + "ON CONFLICT (cluster) DO UPDATE SET run_id = excluded.run_id, renewed = excluded.renewed "
            + "WHERE known.renewed < clock_timestamp() - $3 RETURNING run_id");
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
    public async Task<IReadOnlyList<string>> SilosAsync()
    {
        try
        {
            _silos = [.. (await PostgresGatewayList.ActiveAsync(_source, _cluster)).Select(s => s.ToParsableString())];
        }
        catch (Exception e) when (Transience.IsConnectionLoss(e))
        {
            return _silos;
        }

        return _silos;
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

/// <summary>One silo of a cluster as the membership table has it.</summary>
/// <param name="Address">As Orleans parses it.</param>
public readonly record struct ClusterMember(string Name, string Address, bool IsActive);
