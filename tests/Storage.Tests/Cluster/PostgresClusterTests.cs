using System.Net;
using System.Net.Sockets;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;

namespace Fleet.Storage.Tests.Cluster;

[NeedsServer]
[Trait("tier", "pg")]
[Collection("server")]
public sealed class PostgresClusterTests(ServerFixture fixture)
{
    // Goal: real silos and a real client find each other through the database alone.
    [StoreFact]
    public async Task Two_silos_and_a_client_meet_in_the_database()
    {
        var name = $"cluster-{Guid.NewGuid():N}";
        await using var cluster = await PostgresCluster.OpenAsync(
            StoreAddress.Parse(fixture.Status.Address), name, default);
        using var first = Silo(cluster, name);
        using var second = Silo(cluster, name);
        await first.StartAsync();
        await second.StartAsync();
        using var client = new HostBuilder().UseOrleansClient(c =>
        {
            cluster.UseGateways(c);
            c.Configure<ClusterOptions>(o => (o.ClusterId, o.ServiceId) = (name, name));
        }).Build();
        await client.StartAsync();
        var management = client.Services.GetRequiredService<IClusterClient>().GetGrain<IManagementGrain>(0);
        var hosts = await management.GetHosts(onlyActive: true);
        Assert.Equal(2, hosts.Count);
        Assert.All(hosts.Values, status => Assert.Equal(SiloStatus.Active, status));
        await client.StopAsync();
        await second.StopAsync();
        await first.StopAsync();
    }

    private static IHost Silo(PostgresCluster cluster, string name) => new HostBuilder().UseOrleans(silo =>
    {
        cluster.UseMembership(silo);
        cluster.UseGrainStorage(silo, "fleet");
        silo.Configure<ClusterOptions>(o => (o.ClusterId, o.ServiceId) = (name, name));
        silo.Configure<EndpointOptions>(o =>
        {
            o.AdvertisedIPAddress = IPAddress.Loopback;
            (o.SiloPort, o.GatewayPort) = (FreePort(), FreePort());
        });
    }).Build();

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
