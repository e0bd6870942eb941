using Fleet.Kernel;
using Fleet.Protocol.Plans;

namespace Fleet.Protocol.Tests.Devices;

[Trait("tier", "fast")]
public sealed class ReachedTests
{
    // Goal: what is fetched before an operation is that binding's, and nothing of a binding is held after it.
    [Theory]
    [InlineData("ALL")]
    [InlineData("P0")]
    [InlineData("CLEAN")]
    public Task What_operations_reach_is_known_as_long_as_the_binding(string profile) =>
        LocalFleet.Run(profile, DriverNames.P2pdma, async fleet =>
        {
            Assert.Equal(0, fleet.Device.Reached.Count);
            Assert.Equal(Errno.OK, await fleet.Bind());
            Assert.True(await CycleAsync(fleet));
            var (device, map) = (fleet.Device.Reached, fleet.Map.Reached);
            var (ofDevice, ofMap) = (device.Count, map.Count);
            Assert.True(device.Contains(fleet.Device));
            Assert.True(device.Contains(fleet.Device.Log));
            Assert.True(map.Contains(fleet.Map));
            Assert.True(map.Contains(fleet.Map.Log));

            // Fewer than these would be no more than the agents with their logs and streams.
            Assert.InRange(ofDevice, 14, 18);
            Assert.InRange(ofMap, 5, 8);

            var unbind = fleet.Unbind();
            await unbind.Done;
            Assert.Equal(0, device.Count);
            Assert.Equal(0, map.Count);

            Assert.Equal(Errno.OK, await fleet.Bind());
            Assert.True(await CycleAsync(fleet));
            Assert.Same(device, fleet.Device.Reached);
            Assert.Equal(ofDevice, device.Count);
            Assert.InRange(map.Count, 5, 8);
        });

    [Theory]
    [InlineData(DriverNames.Dax)]
    [InlineData(DriverNames.Hmm)]
    [InlineData(DriverNames.PmemRaw)]
    public Task Another_driver_s_binding_is_not_held_either(string driver) =>
        LocalFleet.Run("CLEAN", driver, async fleet =>
        {
            Assert.Equal(Errno.OK, await fleet.Bind());
            var device = fleet.Device.Reached;
            Assert.True(await CycleAsync(fleet));
            Assert.InRange(device.Count, 1, Kernel.Host.ReachedObjects.Max);
            var unbind = fleet.Unbind();
            await unbind.Done;
            Assert.Equal(0, device.Count);
        });

    private static async Task<bool> CycleAsync(LocalFleet fleet)
    {
        for (var i = 0; i < 3; i++)
        {
            var held = await fleet.Hold();
            if (held.Err is not Errno.OK || await fleet.Touch(held) is not Errno.OK
                || await fleet.Release(held) is not Errno.OK)
            {
                return false;
            }
        }

        return true;
    }
}
