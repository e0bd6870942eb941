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
    private static readonly TimeSpan GatewayStaleness = TimeSpan.FromSeconds(10);

    private readonly NpgsqlDataSource _source;
    private readonly string _cluster;

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

    public ValueTask DisposeAsync() => _source.DisposeAsync();
}
