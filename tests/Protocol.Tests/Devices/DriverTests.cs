using Fleet.Checking;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Plans;

namespace Fleet.Protocol.Tests.Devices;

/// <summary>Each driver in a fleet's device: bound, held across unbinds, bound again.</summary>
[Trait("tier", "fast")]
public sealed class DriverTests
{
    public static TheoryData<string> Drivers => new(DriverNames.All);

    [Theory]
    [MemberData(nameof(Drivers))]
    public Task A_holder_keeps_the_unbind_waiting_and_the_device_binds_again(string driver) =>
        LocalFleet.Run("CLEAN", driver, async fleet =>
        {
            for (var life = 1; life <= 3; life++)
            {
                Assert.Equal(Errno.OK, await fleet.Bind());
                var (first, second) = (await fleet.Hold(), await fleet.Hold());
                Assert.Equal((Errno.OK, Errno.OK), (first.Err, second.Err));
                Assert.Equal(Errno.OK, await fleet.Touch(first));

                var unbind = fleet.Unbind();
                await fleet.UntilWaiting(unbind);
                await LocalFleet.Settle();
                Assert.False(unbind.IsDone);
                Assert.NotEqual(Errno.OK, (await fleet.Hold()).Err);
                Assert.Equal(Errno.OK, await fleet.Touch(first));
                Assert.Equal(Errno.OK, await fleet.Release(first));
                await LocalFleet.Settle();
                Assert.False(unbind.IsDone);
                Assert.Equal(Errno.OK, await fleet.Release(second));
                await unbind.Done;
                Assert.Equal(Errno.OK, unbind.Err);
            }

            var report = await fleet.Check();
            Assert.Empty(report.Findings);
            Assert.Equal(RunVerdict.Valid, report.Verdict);
        });

    // Source: matrix.csv, S15 (fsdax), S16 (raw), S21 (drain deadlock), S29 (dax); HMM has no scenario with a holder.
    [Theory]
    [InlineData(DriverNames.Dax, "P0", "NO-USE-AFTER-REMOVE REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.Dax, "P5", "NO-USE-AFTER-REMOVE REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.Dax, "ALL", "")]
    [InlineData(DriverNames.Dax, "X6-5", "")]
    [InlineData(DriverNames.Dax, "L60", "")]
    [InlineData(DriverNames.Dax, "MAINLINE", "NO-USE-AFTER-REMOVE REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.PmemFsdax, "P0", "NO-USE-AFTER-REMOVE REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.PmemFsdax, "P5", "NO-USE-AFTER-REMOVE REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.PmemFsdax, "ALL", "")]
    [InlineData(DriverNames.PmemFsdax, "L515b", "UNBIND-LIVE")]
    [InlineData(DriverNames.PmemFsdax, "L515c", "")]
    [InlineData(DriverNames.PmemFsdax, "MAINLINE", "NO-USE-AFTER-REMOVE REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.PmemRaw, "P0", "NO-USE-AFTER-REMOVE")]
    [InlineData(DriverNames.PmemRaw, "ALL", "NO-USE-AFTER-REMOVE")]
    [InlineData(DriverNames.PmemRaw, "L514", "NO-USE-AFTER-REMOVE")]
    [InlineData(DriverNames.PmemRaw, "L515a", "")]
    [InlineData(DriverNames.PmemRaw, "L515b", "")]
    [InlineData(DriverNames.PmemRaw, "L515c", "")]
    [InlineData(DriverNames.Hmm, "P0", "NO-USE-AFTER-REMOVE REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.Hmm, "ALL", "")]
    public Task A_holder_across_an_unbind_finds_what_the_kernel_got_wrong(
        string driver, string profile, string rules) =>
        LocalFleet.Run(profile, driver, async fleet =>
        {
            Assert.Equal(Errno.OK, await fleet.Bind());
            var held = driver is DriverNames.PmemRaw ? await fleet.Hold() : await fleet.Pin();
            Assert.Equal(Errno.OK, held.Err);
            var unbind = fleet.Unbind();
            await LocalFleet.Settle();
            _ = await fleet.Touch(held);
            _ = await fleet.Release(held);
            await LocalFleet.Settle();
            Assert.Equal(rules is not "UNBIND-LIVE", unbind.IsDone);
            var report = await fleet.Check();
            Assert.Equal(rules, string.Join(' ', report.Findings.Select(found => found.Rule).Distinct().Order()));
        });

    // Goal: no order of holders, unbinds and rebinds makes a driver of the proposed order break a rule.
    // Method: eight holders of a device take, use and give back by their own dice while it is unbound and bound again;
    // the whole history is judged as that of a run is.
    [Theory]
    [MemberData(nameof(Drivers))]
    public Task Holders_beside_unbinds_find_nothing_in_the_proposed_order(string driver) =>
        Storm("CLEAN", driver, report => Assert.Empty(report.Findings));

    [Theory]
    [InlineData(DriverNames.Dax, "ALL")]
    [InlineData(DriverNames.PmemFsdax, "ALL")]
    [InlineData(DriverNames.Hmm, "ALL")]
    public Task Holders_beside_unbinds_find_nothing_after_patch_6(string driver, string profile) =>
        Storm(profile, driver, report => Assert.Empty(report.Findings));

    [Theory]
    [InlineData(DriverNames.PmemRaw, "ALL", "NO-USE-AFTER-REMOVE")]
    [InlineData(DriverNames.Dax, "P0", "NO-USE-AFTER-REMOVE")]
    [InlineData(DriverNames.Dax, "P0", "REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.PmemFsdax, "P0", "NO-USE-AFTER-REMOVE")]
    [InlineData(DriverNames.PmemFsdax, "P0", "REAP-BEFORE-REMOVE")]
    [InlineData(DriverNames.Hmm, "P0", "NO-USE-AFTER-REMOVE")]
    public Task Holders_beside_unbinds_find_the_defect(string driver, string profile, string rule) =>
        Storm(profile, driver, report => Assert.Contains(rule, report.Findings.Select(found => found.Rule)));

    [Theory]
    [MemberData(nameof(Drivers))]
    public Task A_lapsed_session_is_barred_and_what_it_holds_is_given_back(string driver) =>
        LocalFleet.Run("CLEAN", driver, async fleet =>
        {
            Assert.Equal(Errno.OK, await fleet.Bind());
            var held = await fleet.Hold();
            var unbind = fleet.Unbind();
            await fleet.UntilWaiting(unbind);
            Assert.Equal(1, await fleet.Reap());
            await unbind.Done;
            Assert.Equal(Errno.ESTALE, await fleet.Release(held));
            Assert.Equal(Errno.OK, await fleet.Bind());
            Assert.Equal(Errno.ESTALE, (await fleet.Hold()).Err);
            Assert.Empty((await fleet.Check()).Findings);
        });

    [Theory]
    [InlineData(DriverNames.Dax, "memremap.memory_add", "CLEAN")]
    [InlineData(DriverNames.PmemFsdax, "memremap.memory_add", "CLEAN")]
    [InlineData(DriverNames.Hmm, "memremap.memory_add", "CLEAN")]
    [InlineData(DriverNames.Hmm, "hmm.range_search", "CLEAN")]
    [InlineData(DriverNames.PmemRaw, "pmem.memremap", "CLEAN")]
    [InlineData(DriverNames.PmemFsdax, "pmem.setup_fsdax", "CLEAN")]
    public async Task A_probe_that_fails_leaves_nothing_and_the_next_one_succeeds(
        string driver, string point, string profile)
    {
        var fleet = new LocalFleet(profile, driver, new InjectionPlan(point, Errno.ENOMEM, 0, 1));
        await fleet.Turn(async () =>
        {
            Assert.Equal(Errno.ENOMEM, await fleet.Bind());
            Assert.Equal(Errno.OK, await fleet.Bind());
            var held = await fleet.Hold();
            Assert.Equal(Errno.OK, await fleet.Release(held));
            var unbind = fleet.Unbind();
            await unbind.Done;
            Assert.Empty((await fleet.Check()).Findings);
        });
    }

    private static Task Storm(string profile, string driver, Action<CheckReport> judge) =>
        LocalFleet.Run(profile, driver, async fleet =>
        {
            Assert.Equal(Errno.OK, await fleet.Bind());
            var isOver = false;
            var holders = Enumerable.Range(0, 8).Select(number => Holder(new Random(number))).ToArray();
            var dice = new Random(99);
            for (var life = 0; life < 8; life++)
            {
                for (var turn = dice.Next(40); turn >= 0; turn--)
                {
                    await Task.Yield();
                }

                if (!await Ends(fleet.Unbind()))
                {
                    break;
                }

                Assert.Equal(Errno.OK, await fleet.Bind());
            }

            isOver = true;
            await Task.WhenAll(holders);
            _ = await Ends(fleet.Unbind());
            judge(await fleet.Check());

            async Task Holder(Random dice)
            {
                while (!isOver)
                {
                    var held = await fleet.HoldAny(dice.Next(LocalFleet.Pages), dice.Next(2) == 0);
                    if (held.Err is not Errno.OK)
                    {
                        await Task.Yield();
                        continue;
                    }

                    for (var touch = dice.Next(20); touch >= 0; touch--)
                    {
                        await Task.Yield();
                        if (await fleet.Touch(held) is not Errno.OK)
                        {
                            break;
                        }
                    }

                    await fleet.Release(held);
                }
            }
        });

    /// <summary>Holders give back whatever they hold before long, so what is open after that never ends.</summary>
    private static async Task<bool> Ends(Ticket unbind)
    {
        for (var turn = 0; turn < 100 && !unbind.IsDone; turn++)
        {
            await LocalFleet.Settle();
        }

        return unbind.IsDone;
    }
}
