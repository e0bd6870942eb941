using Fleet.Storage.Results;

namespace Fleet.Storage.Tests.Results;

[Trait("tier", "fast")]
public sealed class StoreAddressTests
{
    [Theory]
    [InlineData("", "The store address is empty;")]
    [InlineData("mysql://h/d", "The store address starts with mysql://;")]
    [InlineData("postgres://", "The store address postgres:// has no host;")]
    [InlineData("postgres://u:secret@h", "The store address postgres://u:***@h names no database;")]
    [InlineData("postgres://u:secret@h/d?frob=1", "The store address postgres://u:***@h/d?frob=1 has the option frob,")]
    public void A_wrong_address_gives_one_sentence_without_the_password(string address, string start)
    {
        var error = Assert.Throws<StorageException>(() => StoreAddress.Parse(address));
        Assert.StartsWith(start, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("postgres://u:p%40ss@h:1234/d?sslmode=verify-full", "postgres://u:***@h:1234/d?sslmode=verify-full")]
    [InlineData("postgresql://h/d", "postgresql://h/d")]
    [InlineData("postgres://h/d?password=x&user=y", "postgres://h/d?password=***&user=y")]
    public void A_password_is_never_printed(string address, string printed)
    {
        var parsed = StoreAddress.Parse(address);
        Assert.True(parsed.IsPostgres);
        Assert.Equal(printed, parsed.ToString());
    }

    [Theory]
    [InlineData("Host=h;Password=secret;Port=1", "Host=h;Password=***;Port=1")]
    [InlineData("cannot reach postgres://u:secret@h/d", "cannot reach postgres://u:***@h/d")]
    [InlineData("a postgres://u:s@1@h/d b postgres://v:t@h/d", "a postgres://u:***@h/d b postgres://v:***@h/d")]
    [InlineData(
        "fleet run --store postgres://h/d?password=x --json", "fleet run --store postgres://h/d?password=*** --json")]
    public void Redact_finds_passwords_in_texts(string text, string printed) =>
        Assert.Equal(printed, StoreAddress.Redact(text));

    [Fact]
    public void Anything_without_a_scheme_is_a_directory()
    {
        var parsed = StoreAddress.Parse("./fleet-results");
        Assert.False(parsed.IsPostgres);
        Assert.True(Path.IsPathRooted(parsed.Directory));
    }
}
