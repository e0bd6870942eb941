using Fleet.Client.Cluster;
using Fleet.Client.Faults;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Grains;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;
using Fleet.Silo.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;
using Orleans;
using Orleans.Runtime;

namespace Fleet.Client.Tests.Runs;

// Goal: a device is called over the gateway of the silo where it lives; a silo that dies costs what was under way there
// and nothing else, and one that joins brings devices back to their gateways.
// Method: two real silo processes, and Orleans' own word on where a device lives. Nothing is expected within a time: a
// silo that was too busy to answer is asked again.
[Trait("tier", "cluster")]
public sealed class GatewayRoutesTests(PrivateDatabase database) : IClassFixture<PrivateDatabase>
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private long _op;

    [ServerFact]
    public async Task A_device_is_called_over_the_gateway_of_its_silo_whichever_silos_there_are()
    {
        var request = RunRequest.Create(
            "smoke", new() { Silos = 2, Devices = 24 }, StoreAddress.Parse(database.Store), keepGoing: false, "",
            DateTimeOffset.UtcNow);
        var objects = RunNames.NewTable();
        await using var store = await ResultStores.OpenAsync(request.Store, default);
        await using var writer = await store.CreateRunAsync(
            RunEntry.InfoOf(request, SpoolOptions.MonotonicClock()), objects, default);
        await RunEntry.EnterAsync(request, writer, objects, RunNames.Generator, default);
        await using var target = await ClusterTarget.StartAsync(request, 1, static _ => { }, static _ => { }, default);
        var fleet = new LoadFleet(request.Plan, objects);
        var caller = await BuildAsync(target, request, fleet, objects);
        var port = new GrainFleetPort(target.Grains, fleet);
        await using var routes = await target.RouteAsync(port, fleet, default);

        await AwaitRightAsync(target, fleet, routes!);
        Assert.Equal(2, Enumerable.Range(0, fleet.Devices.Length).Select(routes!.SiloOf).Distinct().Count());
        await CallAllAsync(port, fleet, caller);

        var silo = target.Silos!.All[0];
        var killed = await target.Silos.AddressOfAsync(silo);
        await LocalSilos.KillAsync(silo);
        await CallAllAsync(port, fleet, caller);
        await AwaitAsync(() => Task.FromResult(
            Enumerable.Range(0, fleet.Devices.Length).All(device => routes.SiloOf(device) != killed)));

        target.Silos.Replace(silo);
        Assert.True(await target.Silos.AwaitServingAsync(Patience), "no silo took the place");
        await CallAllAsync(port, fleet, caller);
        await AwaitRightAsync(target, fleet, routes);
    }

    private static async Task<(int Session, int Client)> BuildAsync(
        ClusterTarget target, RunRequest request, LoadFleet fleet, ObjectTable objects)
    {
        var plan = request.ToRunPlan(Deadline, SessionLease.Length);
        foreach (var host in fleet.Hosts)
        {
            var built = await SharedRun.PatientlyAsync(
                () => target.Grains.GetGrain<IHostGrain>(host.Name).Build(plan, host), default);
            Assert.Empty(built.Failed);
        }

        var session = objects.Intern(RunNames.Session);
        await SharedRun.PatientlyAsync(
            async () =>
            {
                await target.Grains.GetGrain<ISessionGrain>(RunNames.Session).Open(
                    request.Name, session, TimeSpan.FromHours(1), [.. fleet.Hosts.Select(host => host.Name)]);
                return true;
            },
            default);
        return (session, objects.Intern("client:gateway"));
    }

    /// <summary>Calls each device as a load's client does, until the outcome is known: what is not answered in time is
    /// asked for.</summary>
    private async Task CallAllAsync(GrainFleetPort port, LoadFleet fleet, (int Session, int Client) caller)
    {
        for (var device = 0; device < fleet.Devices.Length; device++)
        {
            var request = new AllocRequest(++_op, caller.Session, 4096, caller.Client);
            if ((await AnswerAsync(port.AllocAsync(device, request))).IsKnown)
                continue;

            var asked = new ResolveRequest(caller.Session, caller.Client, request.Op);
            var place = device;
            await AwaitAsync(async () => (await AnswerAsync(port.ResolveAtDeviceAsync(place, asked))).IsKnown);
        }
    }

    private static async Task<(bool IsKnown, T? Value)> AnswerAsync<T>(ValueTask<T> call)
    {
        try
        {
            return (true, await call.AsTask().WaitAsync(Deadline));
        }
        catch (Exception e) when (LostCall.Is(e))
        {
            return default;
        }
    }

    private static Task AwaitRightAsync(ClusterTarget target, LoadFleet fleet, GatewayRoutes routes) => AwaitAsync(
        async () =>
        {
            var management = target.Grains.GetGrain<IManagementGrain>(0);
            for (var device = 0; device < fleet.Devices.Length; device++)
            {
                var grain = target.Grains.GetGrain<IPciDeviceGrain>(fleet.Devices[device].Key);
                var (_, lives) = await AnswerAsync(management.GetActivationAddress(grain));
                if (lives is null || routes.SiloOf(device) != lives.ToParsableString())
                    return false;
            }

            return true;
        });

    private static async Task AwaitAsync(Func<Task<bool>> isSo)
    {
        using var timer = new PeriodicTimer(Look);
        var began = TimeProvider.System.GetTimestamp();
        while (!await isSo())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(began) < Patience, "it did not come to be so");
            await timer.WaitForNextTickAsync();
        }
    }
}
