-- What is marked on a blade. The marking station calls these functions in a sandbox: no files, no
-- clock, a budget of instructions and memory. `product_data` holds strings: serial, order,
-- part_number, revision, date (YYYY-MM-DD), part_id, and the part definition's own fields.

local Blade = {}

-- Returns a list of complaints; an empty one means that the blade may be marked.
function Blade:validate_product_data(product_data)
  local complaints = {}
  if #product_data.serial == 0 then
    complaints[#complaints + 1] = "serial is missing"
  end
  if not (product_data.cage or ""):match("^%w%w%w%w%w$") then
    complaints[#complaints + 1] = "cage must be a five-character CAGE code"
  end
  return complaints
end

-- The symbol's content and the readable lines beside it.
function Blade:execute_marking(product_data)
  return true, {
    symbol = product_data.cage .. "/" .. product_data.part_number .. "/" .. product_data.serial,
    texts = { product_data.part_number, product_data.serial },
  }
end

function Blade:get_status()
  return { ready = true }
end

return Blade
